// The burst on Graphile Worker: `runAt`, a local queue of 500, completions in batches.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { atWork, letters, post, timed, told } from "./letters.js";

const A_CALL = 1000;
const JOBS_AT_ONCE = 64;
const LOCAL_QUEUE = 500;
const POLL_MS = 500;

const connectionString = told.database;
const logger = new Logger(() => () => {});

async function schedule(utils) {
  for (const some of letters(A_CALL)) {
    await utils.addJobs(some.map((payload) => ({ identifier: "greet", payload, runAt: told.dueAt })));
  }
}

if (told.verb === "work") {
  const worker = { concurrentJobs: JOBS_AT_ONCE, localQueue: { size: LOCAL_QUEUE }, completeJobBatchDelay: 0, pollInterval: POLL_MS };
  await run({ connectionString, logger, taskList: { greet: post }, preset: { worker } });
  atWork();
} else {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await (told.verb === "prepare" ? utils.migrate() : timed(() => schedule(utils)));
  await utils.release();
}
