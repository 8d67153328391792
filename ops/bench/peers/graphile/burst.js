// The burst on Graphile Worker: `runAt`, a local queue of 500, completions in batches.
// node burst.js prepare|schedule|work DATABASE BROKER PROVIDER MESSAGES DUE_AT, as ops/bench/peers/words.py has it.

import { Agent, request } from "node:http";
import { Logger, makeWorkerUtils, run } from "graphile-worker";

const A_CALL = 1000;
const OPEN_AT_ONCE = 64;
const LOCAL_QUEUE = 500;
const POLL_MS = 500;

const [verb, connectionString, , provider, messages, dueAt] = process.argv.slice(2);
const logger = new Logger(() => () => {});
const agent = new Agent({ keepAlive: true, maxSockets: OPEN_AT_ONCE });

function letter(index) {
  return {
    email: `person${index}@example.org`,
    message: `Hey, Given${index} Family${index} it's your birthday`,
    subject: "Happy birthday!",
    message_id: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
    type: "BIRTHDAY",
  };
}

function post(payload) {
  const body = JSON.stringify(payload);
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "Idempotency-Key": payload.message_id,
  };
  return new Promise((done, failed) => {
    const call = request(provider, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode === 200 ? done() : failed(new Error(`answered ${answer.statusCode}`))));
    });
    call.on("error", failed);
    call.end(body);
  });
}

async function schedule(utils) {
  const began = process.hrtime.bigint();
  const runAt = new Date(dueAt);
  for (let start = 0; start < Number(messages); start += A_CALL) {
    const some = Array.from({ length: Math.min(A_CALL, messages - start) }, (_, index) => start + index);
    await utils.addJobs(some.map((index) => ({ identifier: "greet", payload: letter(index), runAt })));
  }
  console.log(`scheduled in ${(Number(process.hrtime.bigint() - began) / 1e9).toFixed(3)} s`);
}

if (verb === "work") {
  const worker = { concurrentJobs: OPEN_AT_ONCE, localQueue: { size: LOCAL_QUEUE }, completeJobBatchDelay: 0, pollInterval: POLL_MS };
  await run({ connectionString, logger, taskList: { greet: post }, preset: { worker } });
  console.log("running: worker");
} else {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await (verb === "prepare" ? utils.migrate() : schedule(utils));
  await utils.release();
}
