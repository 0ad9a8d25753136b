//! Layer: see ARCHITECTURE.md.
