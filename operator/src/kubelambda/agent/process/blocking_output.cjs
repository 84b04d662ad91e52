// Loaded by every process of Node.js before the function. Node.js writes to a pipe only what that takes at once, and keeps
// the rest until its loop turns: that would come after the report of its invocation, and be lost when the process ends.
// Both streams, since they are one pipe, and the one that is opened last decides. Those of a worker have no handle.
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true);
