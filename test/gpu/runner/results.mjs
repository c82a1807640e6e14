// A reporter of Node's test runner: one JSON line for each test when it has ended, and `{"end":true}` when all have. A process may
// hang or crash after that, so its exit status says less than these lines.

/** Of a suite whose tests failed: those are counted. Another reason, such as a hook, is its own failure. */
const ofTests = 'subtestsFailed';

export default async function* results(source) {
  for await (const { type, data } of source) {
    const line = lineOf(type, data);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function lineOf(type, { name, skip, message, nesting, details }) {
  if (type === 'test:diagnostic' && nesting === 0 && /^duration_ms \d/.test(message))
    return { end: true };
  if (type === 'test:fail' && details.error?.failureType !== ofTests)
    return { failed: name, why: details.error?.cause?.message ?? details.error?.message };
  if (type !== 'test:pass') return undefined;
  if (skip !== undefined && skip !== false) return { skipped: name };
  return details.type === 'suite' ? undefined : { passed: name };
}
