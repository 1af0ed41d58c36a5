// One conversation over TLS, as every peer here has it:
//
//     node peer.js half-open|default client|server asks|answers PORT FOLDER
//
// Who asks sends a question, ends its half and reads the answer. Who answers reads the question to
// its end and answers a little later. Both print how many bytes they have read, and how that ended.
// FOLDER has ca.pem, certificate.pem and key.pem. Without half-open, Node's default ends our half
// when the peer has ended its own.
'use strict';
const fs = require('fs');
const path = require('path');
const tls = require('tls');

const LATE = 200;
const SIZE = 200000;

const [mode, side, part, port, folder] = process.argv.slice(2);
const allowHalfOpen = mode === 'half-open';
const read = (name) => fs.readFileSync(path.join(folder, name));

function converse(socket) {
  let count = 0;
  let told = false;
  const tell = (how) => {
    if (!told) console.log(count, how);
    told = true;
  };
  socket.on('data', (data) => { count += data.length; });
  socket.on('error', (error) => tell(error.message));
  socket.on('close', () => tell('closed'));
  socket.on('end', () => {
    tell('clean');
    if (part === 'answers') setTimeout(() => socket.end(Buffer.alloc(SIZE)), LATE);
  });
  if (part === 'asks') socket.end('question\n');
}

if (side === 'client') {
  const socket = tls.connect(
    { host: '127.0.0.1', port, servername: 'localhost', ca: read('ca.pem'), allowHalfOpen },
    () => converse(socket),
  );
} else {
  const options = { cert: read('certificate.pem'), key: read('key.pem'), allowHalfOpen };
  const server = tls.createServer(options, (socket) => {
    server.close();
    // Who ends in the same turn sends no close_notify in TLS 1.3: for OpenSSL the handshake goes on.
    setImmediate(() => converse(socket));
  });
  server.listen(port, '127.0.0.1');
}
