//! Chat messages to the tokens a model was trained on.
//!
//! Invariant: only the template writes control tokens; roles and contents are plain text whatever they spell. The template
//! is one of two known kinds, told by the control tokens the vocabulary has: no template language is interpreted.

use candle_core::quantized::gguf_file::Content;
use serde::Deserialize;

use crate::error::Error;
use crate::vocabulary::Vocabulary;

/// One message of a conversation.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or another name the model knows; 1 to 64 bytes.
    pub role: String,
    /// Plain text, or OpenAI's list of text parts.
    #[serde(default)]
    pub content: Option<Text>,
}

/// The two spellings of a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Plain(String),
    Parts(Vec<Part>),
}

/// A part of a text; other kinds than `text` are refused.
#[derive(Debug, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

/// The kind of template with its control tokens.
#[derive(Debug, Clone)]
enum Kind {
    /// `<|im_start|>role\ncontent<|im_end|>\n`
    ChatMl { start: u32, end: u32, default_system: Option<String> },
    /// `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`
    Llama3 { begin: u32, open: u32, close: u32, end: u32 },
}

/// A model's chat template.
#[derive(Debug, Clone)]
pub struct Template {
    kind: Kind,
}

impl Template {
    /// Tells the kind by the control tokens. The error is the reason, without the file's name.
    pub fn read(content: &Content, vocabulary: &Vocabulary) -> candle_core::Result<Self> {
        let token = |name: &str| vocabulary.control(name);
        if let (Some(start), Some(end)) = (token("<|im_start|>"), token("<|im_end|>")) {
            let source = content.metadata.get("tokenizer.chat_template").and_then(|value| value.to_string().ok());
            let default_system = source.and_then(|source| default_system(source));
            return Ok(Self { kind: Kind::ChatMl { start, end, default_system } });
        }
        if let (Some(begin), Some(open), Some(close), Some(end)) =
            (token("<|begin_of_text|>"), token("<|start_header_id|>"), token("<|end_header_id|>"), token("<|eot_id|>"))
        {
            return Ok(Self { kind: Kind::Llama3 { begin, open, close, end } });
        }
        candle_core::bail!("its chat template is neither ChatML nor that of Llama 3, the two supported")
    }

    /// The prompt: all messages and the opening of the assistant's answer.
    pub fn render(&self, messages: &[Message], vocabulary: &Vocabulary) -> Result<Vec<u32>, Error> {
        if messages.is_empty() {
            return Err(Error::invalid("messages", "The list of messages is empty. Send at least one message."));
        }
        let mut prompt = Prompt { template: &self.kind, vocabulary, tokens: Vec::new() };
        prompt.begin(messages);
        for (index, message) in messages.iter().enumerate() {
            prompt.message(&message.role, &message.text(index)?)?;
        }
        prompt.open("assistant");
        Ok(prompt.tokens)
    }
}

struct Prompt<'a> {
    template: &'a Kind,
    vocabulary: &'a Vocabulary,
    tokens: Vec<u32>,
}

impl Prompt<'_> {
    fn begin(&mut self, messages: &[Message]) {
        match self.template {
            Kind::ChatMl { default_system: Some(system), end, .. } if messages[0].role != "system" => {
                self.open_with("system", system);
                self.tokens.push(*end);
                self.text("\n");
            }
            Kind::ChatMl { .. } => {}
            Kind::Llama3 { begin, .. } => self.tokens.push(*begin),
        }
    }

    fn message(&mut self, role: &str, content: &str) -> Result<(), Error> {
        if role.is_empty() || role.len() > 64 || role.contains('\n') {
            return Err(Error::invalid("messages", "A role is empty or too long. Use system, user or assistant."));
        }
        match self.template {
            Kind::ChatMl { end, .. } => {
                self.open_with(role, content);
                self.tokens.push(*end);
                self.text("\n");
            }
            Kind::Llama3 { end, .. } => {
                self.open_with(role, content.trim());
                self.tokens.push(*end);
            }
        }
        Ok(())
    }

    fn open(&mut self, role: &str) {
        self.open_with(role, "");
    }

    /// Header and content are one text between control tokens, so merges cross their seam as in training.
    fn open_with(&mut self, role: &str, content: &str) {
        match self.template {
            Kind::ChatMl { start, .. } => {
                self.tokens.push(*start);
                self.text(&format!("{role}\n{content}"));
            }
            Kind::Llama3 { open, close, .. } => {
                self.tokens.push(*open);
                self.text(role);
                self.tokens.push(*close);
                self.text(&format!("\n\n{content}"));
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.tokens.extend(self.vocabulary.encode(text));
    }
}

impl Message {
    fn text(&self, index: usize) -> Result<String, Error> {
        match &self.content {
            None => Ok(String::new()),
            Some(Text::Plain(text)) => Ok(text.clone()),
            Some(Text::Parts(parts)) => match parts.iter().find(|part| part.kind != "text") {
                None => Ok(parts.iter().map(|part| part.text.as_str()).collect()),
                Some(part) => Err(Error::invalid(
                    "messages",
                    format!("Message {index} has a part of type {:?}; this model reads text only.", part.kind),
                )),
            },
        }
    }
}

/// The literal system message some ChatML templates put before a conversation without one.
fn default_system(source: &str) -> Option<String> {
    let source = source.replace("\\n", "\n");
    if !source.contains("messages[0]['role'] != 'system'") {
        return None;
    }
    let (_, rest) = source.split_once("<|im_start|>system\n")?;
    let (text, _) = rest.split_once("<|im_end|>")?;
    (!text.contains(['{', '\''])).then(|| text.to_owned())
}
