//! Layer 5: see ARCHITECTURE.md.
