//! Random requests over the wire against the built service: all methods, all fields by the API's own
//! descriptors, from questions that are answered to bytes that are nothing. Nothing may panic, no
//! answer may be a fault of the service, and every error must be one that `docs/errors.md` describes.

mod judge;
mod messages;
mod run;
mod words;
