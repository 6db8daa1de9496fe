;; Answers with bytes that are no text.
(data (i32.const 512) "\ff\fe\fd\fc")
(func (export "call-hook") (param i32 i32 i32) (result i32)
  (i32.store (i32.const 404) (i32.const 512))
  (i32.store (i32.const 408) (i32.const 4))
  (i32.const 400))
