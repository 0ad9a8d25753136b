//! Linearizability: what many writers and readers saw over the wire is explained by one order of their
//! calls, each between its beginning and its end. Two checkers of our own judge the histories, and
//! share nothing with the service: `search` believes no revision, `revisions` holds each answer to the
//! revision that it names. Both are tested against histories made by hand.

mod by_hand;
mod history;
mod load;
mod revisions;
mod search;
