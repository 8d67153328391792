// What is sent in a burst, and how a system is told what to do, as ops/bench/peers/letters.py and words.py have it.

import { Agent, request } from "node:http";

const OPEN_AT_ONCE = 64;

const [verb, database, broker, provider, messages, dueAt] = process.argv.slice(2);
export const told = { verb, database, broker, provider, messages: Number(messages), dueAt: new Date(dueAt) };

const agent = new Agent({ keepAlive: true, maxSockets: OPEN_AT_ONCE });

export function* letters(aCall) {
  for (let start = 0; start < told.messages; start += aCall) {
    yield Array.from({ length: Math.min(aCall, told.messages - start) }, (_, index) => letter(start + index));
  }
}

function letter(index) {
  return {
    email: `person${index}@example.org`,
    message: `Hey, Given${index} Family${index} it's your birthday`,
    subject: "Happy birthday!",
    message_id: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
    type: "BIRTHDAY",
  };
}

export function post(payload) {
  const body = JSON.stringify(payload);
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "Idempotency-Key": payload.message_id,
  };
  return new Promise((done, failed) => {
    const call = request(told.provider, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode === 200 ? done() : failed(new Error(`answered ${answer.statusCode}`))));
    });
    call.on("error", failed);
    call.end(body);
  });
}

export async function timed(schedule) {
  const began = process.hrtime.bigint();
  await schedule();
  console.log(`scheduled in ${(Number(process.hrtime.bigint() - began) / 1e9).toFixed(3)} s`);
}

export function atWork() {
  console.log("running: worker");
}
