//! Text to tokens and back, and the token trie that constrained decoding walks.
//!
//! Invariant: text of a message never becomes a control token; those are added by `chat` alone. Byte-level BPE (the
//! `gpt2` kind of GGUF) is the only kind supported.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::{PreTokenizerWrapper, byte_level::ByteLevel, digits::Digits, sequence::Sequence};
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// Tokens of the end of an answer, by name, as the known chat models spell them.
const END_NAMES: [&str; 6] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>"];
/// GGUF's token type of a control token.
const CONTROL: u32 = 3;

/// The vocabulary of one model.
#[derive(Clone)]
pub struct Vocabulary {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: Tokenizer,
    trie: TokTrie,
    ends: Vec<TokenId>,
    banned: Vec<TokenId>,
    /// Tokens of ASCII punctuation only, which a repetition penalty must not touch.
    punctuation: Vec<bool>,
}

impl Vocabulary {
    /// Takes the vocabulary out of the file's metadata.
    pub fn read(content: &Content) -> candle_core::Result<Self> {
        let mut tokenizer = Tokenizer::from_gguf(content)?;
        if let Some(split) = pre_tokenizer(content) {
            tokenizer.with_pre_tokenizer(Some(split));
        }
        tokenizer.set_encode_special_tokens(true);
        let names = strings(content, "tokenizer.ggml.tokens")?;
        let types = numbers(content, "tokenizer.ggml.token_type").unwrap_or_default();
        let is_control = |id: usize| types.get(id) == Some(&CONTROL);
        let words = words(&names, is_control)?;

        let by_name: HashMap<&str, TokenId> =
            names.iter().enumerate().map(|(id, name)| (name.as_str(), id as u32)).collect();
        let mut ends: Vec<TokenId> = number(content, "tokenizer.ggml.eos_token_id").into_iter().collect();
        ends.extend(END_NAMES.iter().filter_map(|name| by_name.get(name).copied()));
        ends.retain(|&id| (id as usize) < names.len());
        ends.sort_unstable();
        ends.dedup();
        let Some(&first_end) = ends.first() else { candle_core::bail!("its vocabulary has no end-of-text token") };
        let banned = (0..names.len()).filter(|&id| is_control(id)).map(|id| id as TokenId);
        let banned = banned.filter(|id| !ends.contains(id)).collect();
        let punctuation =
            words.iter().map(|word| !word.is_empty() && word.iter().all(u8::is_ascii_punctuation)).collect();
        let trie = TokTrie::from(&TokRxInfo::new(names.len() as u32, first_end), &words).with_eos_tokens(&ends);
        Ok(Self { inner: Arc::new(Inner { tokenizer, trie, ends, banned, punctuation }) })
    }

    /// Tokens of ordinary text; control tokens spelled in it stay text.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        self.inner.encode(text)
    }

    /// The control token of that name, such as `<|im_start|>`.
    pub fn control(&self, name: &str) -> Option<TokenId> {
        self.inner.trie.get_special_token(name)
    }

    /// The bytes of a token; none for a control token. A character may be spread over several tokens.
    pub fn bytes(&self, token: TokenId) -> &[u8] {
        if self.inner.trie.is_special_token(token) { &[] } else { self.inner.trie.token(token) }
    }

    /// The token that spells exactly these bytes, if there is one.
    pub fn token(&self, bytes: &[u8]) -> Option<TokenId> {
        self.inner.trie.token_id(bytes)
    }

    /// Whether an answer ends with this token.
    pub fn is_end(&self, token: TokenId) -> bool {
        self.inner.ends.contains(&token)
    }

    /// Control tokens that must never be sampled: they belong to the template, not to an answer.
    pub fn banned(&self) -> &[TokenId] {
        &self.inner.banned
    }

    /// Whether the token is ASCII punctuation only.
    pub fn is_punctuation(&self, token: TokenId) -> bool {
        self.inner.punctuation.get(token as usize).copied().unwrap_or(false)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.inner.trie.vocab_size()
    }

    /// The vocabulary as constrained decoding takes it.
    pub fn environment(&self) -> TokEnv {
        self.inner.clone()
    }
}

impl Inner {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            // Byte-level BPE has a token for every byte, so this is unreachable; greedy tokens spell the same text.
            Err(_) => self.trie.greedy_tokenize(text.as_bytes()),
        }
    }
}

impl TokenizerEnv for Inner {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.encode(text))
    }
}

/// How the text is split before merging, where the tokenizer crate's default (a space before every text) is not what the
/// model was trained with. SmolLM splits digits one by one.
fn pre_tokenizer(content: &Content) -> Option<PreTokenizerWrapper> {
    let kind = content.metadata.get("tokenizer.ggml.pre").and_then(|value| value.to_string().ok());
    let bytes = ByteLevel::new(false, true, true);
    match kind.map_or("gpt-2", String::as_str) {
        "smollm" => Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()]).into()),
        "qwen2" | "llama3" | "llama-bpe" | "smaug-bpe" | "lfm2" => None,
        _ => Some(bytes.into()),
    }
}

/// The bytes of every token: byte-level BPE writes each byte as one printable character; control tokens carry a marker.
fn words(names: &[String], is_control: impl Fn(usize) -> bool) -> candle_core::Result<Vec<Vec<u8>>> {
    let byte_of = byte_alphabet();
    let word = |(id, name): (usize, &String)| {
        if is_control(id) {
            return Ok([&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat());
        }
        // A name outside the alphabet is a token the vocabulary's author added as plain text.
        Ok(name
            .chars()
            .map(|c| byte_of.get(&c).copied())
            .collect::<Option<Vec<u8>>>()
            .unwrap_or_else(|| name.clone().into()))
    };
    if names.len() > 1 << 20 {
        candle_core::bail!("its vocabulary has {} tokens, more than the 1048576 supported", names.len())
    }
    names.iter().enumerate().map(word).collect()
}

/// GPT-2's alphabet: printable Latin-1 stands for itself, every other byte for a character from U+0100 on.
fn byte_alphabet() -> HashMap<char, u8> {
    let mut next = 0x100u32;
    let mut alphabet = HashMap::with_capacity(256);
    for byte in 0..=255u8 {
        let itself = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if itself {
            u32::from(byte)
        } else {
            {
                next += 1;
                next - 1
            }
        };
        alphabet.extend(char::from_u32(code).map(|c| (c, byte)));
    }
    alphabet
}

fn strings(content: &Content, key: &str) -> candle_core::Result<Vec<String>> {
    match content.metadata.get(key) {
        Some(value) => value.to_vec()?.iter().map(|item| item.to_string().cloned()).collect(),
        None => candle_core::bail!("the metadata key {key} is missing"),
    }
}

fn numbers(content: &Content, key: &str) -> Option<Vec<u32>> {
    let items = content.metadata.get(key)?.to_vec().ok()?;
    items.iter().map(as_number).collect()
}

fn number(content: &Content, key: &str) -> Option<u32> {
    as_number(content.metadata.get(key)?)
}

fn as_number(value: &Value) -> Option<u32> {
    match value {
        Value::I32(number) => u32::try_from(*number).ok(),
        other => other.to_u32().ok(),
    }
}
