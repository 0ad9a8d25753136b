//! A stack of its own for parsers that others wrote. They recurse on nested input and may panic on
//! hostile input; neither may end the process. Knows nothing of what they parse.

/// Enough for the deepest input that the callers let through; reserved, not touched.
const STACK_BYTES: usize = 64 << 20;

/// What `work` returns; `None` if it panicked or no thread could be had.
pub(super) fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("model-parser".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .ok()?;
        thread.join().ok()
    })
}
