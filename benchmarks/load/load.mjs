// Sends HTTP requests over keep-alive connections and prints what came of them; told on standard input what to send.
// {url, connections, seconds | amount, requests: [{method, path, headers, body?}]} -> autocannon's result as JSON.
// Each connection has its own equal part of the requests: with `amount` each request is sent once.
import autocannon from "autocannon";

const told = [];
for await (const chunk of process.stdin) told.push(chunk);
const { url, connections, seconds, amount, requests } = JSON.parse(Buffer.concat(told).toString("utf8"));
const each = requests.length / connections;
let next = 0;
const result = await autocannon({
  url,
  connections,
  ...(amount ? { amount } : { duration: seconds }),
  timeout: 30,
  setupClient(client) {
    client.setRequests(requests.slice(next * each, (next + 1) * each));
    next = (next + 1) % connections;
  },
});
process.stdout.write(JSON.stringify(result));
