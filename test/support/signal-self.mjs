// Loaded with --import before a program that a test interrupts: sends it the signal as soon as it has printed
// what matches, from inside. A test that reads the program's output and sends the signal itself may be given
// the processor only after the program has ended.
//
//   SIGNAL_WHEN='{"pattern": " 2/12 ", "signal": "SIGINT", "group": false}' node --import signal-self.mjs ...
//
// Its children inherit the environment, but are left alone. `group` is for a process that leads one: the signal
// then reaches them too, as Ctrl-C in a terminal does.
const given = process.env.SIGNAL_WHEN;
delete process.env.SIGNAL_WHEN;
if (given !== undefined) {
  const { pattern, signal, group } = JSON.parse(given);
  const wanted = new RegExp(pattern);
  let seen = '';
  let sent = false;
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    stream.write = (chunk, ...rest) => {
      const result = write(chunk, ...rest);
      seen += String(chunk);
      if (!sent && wanted.test(seen)) {
        sent = true;
        process.kill(group ? -process.pid : process.pid, signal);
      }
      return result;
    };
  }
}
