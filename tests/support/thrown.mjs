// Errors that adapters of clients throw.

/** An error that has another name in its client's world than in ours. */
export const thrown = ({ name, message, ...told }) =>
  Object.assign(new Error(message), { kind: name, ...told });
