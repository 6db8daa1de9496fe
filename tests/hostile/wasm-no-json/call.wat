;; Answers with what is no JSON.
(data (i32.const 512) "{\"issues\": [")
(func (export "call-hook") (param i32 i32 i32) (result i32)
  (i32.store (i32.const 404) (i32.const 512))
  (i32.store (i32.const 408) (i32.const 12))
  (i32.const 400))
