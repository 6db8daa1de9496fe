;; Finds what was left to do: every TODO in a file's code becomes a finding with its line.
;;
;; A plugin without any language runtime: a component of the contract in plugin-sdk/wit/plugin.wit, written by hand in the
;; text format. It shows what crosses the border and nothing more; compilers for C, Rust, Go and others make the same from
;; the contract by themselves. Build it with: wasm-tools parse plugin.wat -o plugin.wasm
(component
  ;; The types of the contract that this plugin speaks of. It asks the host for nothing else.
  (import "resoftai:plugin/types@1.0.0" (instance $types
    (type $kinds (enum "action" "filter"))
    (export "kind" (type $kind (eq $kinds)))
    (type $hooks (record (field "name" string) (field "kind" $kind) (field "priority" s32)))
    (export "hook" (type $hook (eq $hooks)))
    (type $loads (record
      (field "api" string)
      (field "tool-name" (option string))
      (field "config-schema" (option string))
      (field "hooks" (list $hook))))
    (export "loaded" (type (eq $loads)))
    (type $raises (record (field "message" string) (field "traceback" string)))
    (export "raised" (type (eq $raises)))))
  (alias export $types "loaded" (type $loaded))
  (alias export $types "raised" (type $raised))

  (core module $code
    (memory (export "memory") 1)
    ;; Constant text, each at a place of its own.
    (data (i32.const 0) "code_quality")
    (data (i32.const 16) "todo_marks")
    (data (i32.const 32) "code.analyze")
    (data (i32.const 64) "There is nothing to call: this plugin only has a filter.")
    (data (i32.const 128) "\"code\":\"")
    (data (i32.const 144) ",\"todo_marks\":[")
    (data (i32.const 160) "{\"type\":\"todo\",\"severity\":\"low\",\"message\":\"A TODO is left here.\",\"line\":")
    ;; The one hook: name, kind filter, priority 30.
    (data (i32.const 256) "\20\00\00\00\0c\00\00\00\01\00\00\00\1e\00\00\00")
    ;; What `load` answers: ok, api, tool name, no schema of a configuration, one hook.
    (data (i32.const 288)
      "\00\00\00\00"
      "\00\00\00\00\0c\00\00\00"
      "\01\00\00\00\10\00\00\00\0a\00\00\00"
      "\00\00\00\00\00\00\00\00\00\00\00\00"
      "\00\01\00\00\01\00\00\00")
    ;; What `call-method` answers: an error with its message and no traceback.
    (data (i32.const 352) "\01\00\00\00\40\00\00\00\38\00\00\00\00\00\00\00\00\00\00\00")
    ;; 384: what `call-hook` answers: ok, where, how long.  400: what `unload` answers: ok.

    (global $free (mut i32) (i32.const 1024))  ;; From here on memory is free until the call is over.
    (global $out (mut i32) (i32.const 0))      ;; Where the answer is written next.

    ;; Room for `size` bytes, from the front to the back.
    (func $room (param $size i32) (result i32)
      (local $at i32) (local $missing i32)
      (local.set $at (global.get $free))
      (global.set $free (i32.add (local.get $at) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
      (local.set $missing (i32.sub (global.get $free) (i32.shl (memory.size) (i32.const 16))))
      (if (i32.gt_s (local.get $missing) (i32.const 0)) (then
        (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $missing) (i32.const 16)) (i32.const 1))) (i32.const -1))
          (then unreachable))))
      (local.get $at))

    ;; The host asks for room for what it passes in; it never asks for more of the same.
    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
      (call $room (local.get $size)))

    ;; The call is over and its answer read.
    (func (export "forget") (param i32)
      (global.set $free (i32.const 1024)))

    (func $copy (param $from i32) (param $length i32)
      (memory.copy (global.get $out) (local.get $from) (local.get $length))
      (global.set $out (i32.add (global.get $out) (local.get $length))))

    (func $byte (param $byte i32)
      (i32.store8 (global.get $out) (local.get $byte))
      (global.set $out (i32.add (global.get $out) (i32.const 1))))

    (func $number (param $n i32)
      (if (i32.ge_u (local.get $n) (i32.const 10)) (then (call $number (i32.div_u (local.get $n) (i32.const 10)))))
      (call $byte (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10)))))

    ;; Where the code begins in the payload, or its end. Inside of JSON's strings quotes are escaped, so the key cannot be
    ;; mistaken for text.
    (func $code (param $at i32) (param $end i32) (result i32)
      (block $done (loop $next
        (br_if $done (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
        (if (i64.eq (i64.load (local.get $at)) (i64.load (i32.const 128)))
          (then (return (i32.add (local.get $at) (i32.const 8)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
      (local.get $end))

    ;; Goes through the code up to its closing quote and counts the marks; writes them down as findings too when asked.
    (func $marks (param $at i32) (param $end i32) (param $write i32) (result i32)
      (local $line i32) (local $found i32) (local $char i32)
      (local.set $line (i32.const 1))
      (block $done (loop $next
        (br_if $done (i32.ge_u (i32.add (local.get $at) (i32.const 4)) (local.get $end)))
        (local.set $char (i32.load8_u (local.get $at)))
        (br_if $done (i32.eq (local.get $char) (i32.const 34)))  ;; "
        (if (i32.eq (local.get $char) (i32.const 92)) (then      ;; \ and n are the end of a line
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 110))
            (then (local.set $line (i32.add (local.get $line) (i32.const 1)))))
        ) (else (if (i32.eq (i32.load (local.get $at)) (i32.const 0x4f444f54)) (then  ;; TODO
          (if (local.get $write) (then
            (if (local.get $found) (then (call $byte (i32.const 44))))
            (call $copy (i32.const 160) (i32.const 72))
            (call $number (local.get $line))
            (call $byte (i32.const 125))))
          (local.set $found (i32.add (local.get $found) (i32.const 1)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
      (local.get $found))

    (func (export "load") (param i32 i32 i32 i32) (result i32)
      (i32.const 288))

    ;; The payload without its last brace, our findings, and the brace.
    (func (export "call-hook") (param $hook i32) (param $payload i32) (param $length i32) (result i32)
      (local $code i32) (local $end i32) (local $found i32)
      (local.set $end (i32.add (local.get $payload) (local.get $length)))
      (local.set $code (call $code (local.get $payload) (local.get $end)))
      (local.set $found (call $marks (local.get $code) (local.get $end) (i32.const 0)))
      (global.set $out (call $room
        (i32.add (i32.add (local.get $length) (i32.const 32)) (i32.mul (local.get $found) (i32.const 96)))))
      (i32.store (i32.const 388) (global.get $out))
      (call $copy (local.get $payload) (i32.sub (local.get $length) (i32.const 1)))
      (call $copy (i32.const 144) (i32.const 15))
      (drop (call $marks (local.get $code) (local.get $end) (i32.const 1)))
      (call $byte (i32.const 93))
      (call $byte (i32.const 125))
      (i32.store (i32.const 392) (i32.sub (global.get $out) (i32.load (i32.const 388))))
      (i32.const 384))

    (func (export "call-method") (param i32 i32 i32 i32 i32) (result i32)
      (i32.const 352))

    (func (export "unload") (result i32)
      (i32.const 400)))

  (core instance $plugin (instantiate $code))

  (func (export "load")
    (param "manifest" string) (param "config" string) (result (result $loaded (error $raised)))
    (canon lift (core func $plugin "load") (memory (core memory $plugin "memory")) (realloc (core func $plugin "realloc"))
      (post-return (core func $plugin "forget"))))
  (func (export "call-hook")
    (param "hook" u32) (param "payload" string) (result (result string (error $raised)))
    (canon lift (core func $plugin "call-hook") (memory (core memory $plugin "memory")) (realloc (core func $plugin "realloc"))
      (post-return (core func $plugin "forget"))))
  (func (export "call-method")
    (param "name" string) (param "args" string) (param "streamed" bool) (result (result string (error $raised)))
    (canon lift (core func $plugin "call-method") (memory (core memory $plugin "memory")) (realloc (core func $plugin "realloc"))
      (post-return (core func $plugin "forget"))))
  (func (export "unload")
    (result (result (error $raised)))
    (canon lift (core func $plugin "unload") (memory (core memory $plugin "memory")) (realloc (core func $plugin "realloc")))))
