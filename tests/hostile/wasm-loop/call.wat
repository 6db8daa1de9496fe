;; Never comes back.
(func (export "call-hook") (param i32 i32 i32) (result i32)
  (loop $again (br $again))
  unreachable)
