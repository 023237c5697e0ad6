// The sample as it is, in a process that a test can end.
import '../../sample/worker/src/main.js';
import { serve } from '../kit/node-process-child.js';

serve({});
