//! The child process that runs a GGUF model.
fn main() {}
