// Starts the page: with the data that lies in it, or with those of the studio that serves it.
import { render } from 'preact';
import type { ReportData } from '../src/page-data/report.js';
import { App } from './app.js';
import { useLive } from './live.js';
import './style/index.css';
import { fileModels } from './try-out/file-models.js';
import { studioModels } from './try-out/studio-models.js';

function Studio() {
  const { data, isConnected } = useLive();
  if (!data) return null;
  return <App data={data} live={isConnected ? 'live' : 'lost'} models={studioModels} />;
}

const text = document.getElementById('data')?.textContent;
const root = document.getElementById('app');
if (root) {
  render(
    text ? <App data={JSON.parse(text) as ReportData} models={fileModels()} /> : <Studio />,
    root,
  );
}
