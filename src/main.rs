//! Layer 7: the command. Parses nothing itself; turns the result into an exit code.

fn main() {}
