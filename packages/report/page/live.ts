// The studio's data: everything once, then what changes.
import { useEffect, useState } from 'preact/hooks';
import type { ReportData, StudioUpdate } from '../src/page-data/report.js';

export interface Live {
  readonly data: ReportData | undefined;
  readonly isConnected: boolean;
}

/** A report after an update. */
export function updated(report: ReportData, update: StudioUpdate): ReportData {
  const runs = new Map([...report.runs, ...update.runs].map((run) => [run.id, run]));
  const { comparisons, notes } = update;
  const shown = update.order.flatMap((id) => runs.get(id) ?? []);
  return { ...report, runs: shown, comparisons, notes, created: new Date().toISOString() };
}

/** Follows the studio. A connection that was lost comes back by itself, with all that was missed. */
export function useLive(): Live {
  const [data, setData] = useState<ReportData>();
  const [isConnected, setConnected] = useState(false);
  useEffect(() => {
    const events = new EventSource('/api/events');
    events.onopen = () => {
      setConnected(true);
      void fetch('/api/report')
        .then((response) => response.json())
        .then((report: ReportData) => {
          setData(report);
        });
    };
    events.onerror = () => {
      setConnected(false);
    };
    events.addEventListener('update', (event: MessageEvent<string>) => {
      const update = JSON.parse(event.data) as StudioUpdate;
      setData((report) => report && updated(report, update));
    });
    return () => {
      events.close();
    };
  }, []);
  return { data, isConnected };
}
