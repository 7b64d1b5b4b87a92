//! The long counts: minutes of load, and numbers that a reader can check. Run by hand, one at a time; see README.md.
//!
//! The gateway is a process of its own here, so that its memory and processor time are its own. What is counted is
//! counted by the clients, which never retry, and by the origins.

mod bad_versions;
mod containment;
mod costly_modules;
mod failing_upstreams;
mod fuzzed;
mod gateway;
mod large_bodies;
mod load;
mod many_routes;
mod origin;
mod reloads;
mod streams;
mod tally;
