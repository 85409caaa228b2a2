// The Worker is in the package clawfront; the Durable Object Hub is a class of it.
export { default, Hub } from "clawfront";
