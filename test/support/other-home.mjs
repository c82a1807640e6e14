// The home folder of a user, for a process without HOME: the one that OTHER_HOME names, and not that of whoever tests.
import os from 'node:os';
import { syncBuiltinESMExports } from 'node:module';

os.homedir = () => process.env.HOME ?? process.env.OTHER_HOME;
syncBuiltinESMExports();
