// The burst on BullMQ: jobs delayed to the millisecond, gone once they are done.

import { Queue, Worker } from "bullmq";
import { atWork, letters, post, timed, told } from "./letters.js";

const A_CALL = 1000;
const JOBS_AT_ONCE = 100;
const QUEUE = "bench";

const { hostname: host, port } = new URL(told.broker);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };

async function schedule(queue) {
  for (const some of letters(A_CALL)) {
    const timestamp = Date.now();
    const opts = { timestamp, delay: told.dueAt - timestamp, removeOnComplete: true };
    await queue.addBulk(some.map((data) => ({ name: "greet", data, opts })));
  }
}

if (told.verb === "work") {
  const worker = new Worker(QUEUE, (job) => post(job.data), { connection, concurrency: JOBS_AT_ONCE });
  await worker.waitUntilReady();
  atWork();
} else {
  const queue = new Queue(QUEUE, { connection });
  await timed(() => schedule(queue));
  await queue.close();
}
