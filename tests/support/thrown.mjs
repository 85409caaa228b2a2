// Makes the errors that adapters of clients throw.

/** Makes an error with the name that its client gives it. */
export const thrown = ({ name, message, ...fields }) =>
  Object.assign(new Error(message), { kind: name, ...fields });
