// Run by the gateway's own Node, because the launcher may run on one without a WebSocket client.
// Ends once a `connect` is accepted: while a gateway starts, it answers UNAVAILABLE. The launcher
// sets the limit in time.

const [url] = process.argv.slice(2);
const token = process.env.GATEWAY_TOKEN;
const RETRY_MS = 250;

const connect = {
  type: "req",
  id: "probe",
  method: "connect",
  params: {
    minProtocol: 3,
    maxProtocol: 4,
    client: { id: "gateway-client", version: "0", platform: "probe", mode: "backend" },
    role: "operator",
    scopes: [],
    // The gateway has one of the two.
    auth: { token, password: token },
  },
};

attempt();

function attempt() {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.event === "connect.challenge") socket.send(JSON.stringify(connect));
    if (frame.id === connect.id && frame.ok) process.exit(0);
  };
  socket.onerror = () => {};
  socket.onclose = () => setTimeout(attempt, RETRY_MS);
}
