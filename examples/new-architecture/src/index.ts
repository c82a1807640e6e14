// What `--plugin ./dist/index.js` makes known to a command: the family and the data set.
import './family.js';
import './stripes.js';
