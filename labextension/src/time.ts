/** The clock and the timers of this browser or process. */

import type { ITime } from "./connection.js";

export const REAL_TIME: ITime = {
  now: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};
