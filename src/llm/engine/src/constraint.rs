//! An answer that cannot leave its grammar, and that closes its JSON before the tokens run out.
//!
//! Invariant: every token handed out was allowed by the grammar; once a JSON answer has a way to its end that fits into the
//! tokens left, it always keeps one. Which allowed token is chosen is the sampler's business.

mod closing;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, SimpleVob};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::{Error, first_line};
use crate::vocabulary::Vocabulary;
use closing::{Closing, Place};

/// Largest accepted grammar or schema, bytes.
const MAX_GRAMMAR_BYTES: usize = 256 * 1024;
/// Tokens before the end from which every choice is checked for a way home, on top of twice the emptiest answer.
const WATCH_TOKENS: usize = 64;

/// What the request asks the answer to obey.
#[derive(Debug)]
pub enum Rule {
    /// A JSON schema.
    Schema(Value),
    /// A Lark grammar, in llguidance's dialect.
    Lark(String),
}

/// Compiles rules for one vocabulary.
pub struct Grammars {
    factory: ParserFactory,
    vocabulary: Vocabulary,
}

/// The progress of one answer through its grammar.
pub struct Constraint {
    matcher: Matcher,
    vocabulary: Vocabulary,
    closing: Option<Closing>,
    place: Place,
    watch_below: usize,
}

/// What the grammar says about the next step.
pub enum Turn {
    /// The answer is complete.
    Done,
    /// These tokens are the only way on.
    Forced(Vec<u32>),
    /// Choose among these; the end tokens are allowed where the answer may end.
    Choose(SimpleVob),
}

impl Grammars {
    /// Prepares the vocabulary for masks. Takes tens of milliseconds.
    pub fn new(vocabulary: &Vocabulary) -> candle_core::Result<Self> {
        let environment = vocabulary.environment();
        let factory =
            ParserFactory::new(&environment, InferenceCapabilities::default(), &SlicedBiasComputer::json_slices());
        let mut factory = factory.map_err(|error| candle_core::Error::msg(error.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, vocabulary: vocabulary.clone() })
    }

    /// Compiles a rule; the error names what in it cannot be used.
    pub fn compile(&self, rule: Rule) -> Result<Constraint, Error> {
        let (grammar, param, json) = match rule {
            Rule::Schema(schema) => (schema_grammar(schema)?, "response_format", true),
            Rule::Lark(text) if text.len() > MAX_GRAMMAR_BYTES => {
                return Err(Error::invalid(
                    "grammar",
                    format!("The grammar is larger than {MAX_GRAMMAR_BYTES} bytes."),
                ));
            }
            Rule::Lark(text) => (GrammarWithLexer::from_lark(text), "grammar", false),
        };
        let matcher = Matcher::new(self.factory.create_parser(TopLevelGrammar::from_grammar(grammar)));
        if let Some(cause) = matcher.get_error() {
            let message =
                format!("The {param} cannot be used: {}. Correct it and send the request again.", first_line(&cause));
            return Err(Error::invalid(param, message));
        }
        let closing = json.then(|| Closing::new(&self.vocabulary));
        let emptiest = closing.as_ref().and_then(|closing| closing.plan(&matcher, Place::default()));
        let watch_below = WATCH_TOKENS + 2 * emptiest.map_or(0, |plan| plan.len());
        Ok(Constraint { matcher, vocabulary: self.vocabulary.clone(), closing, place: Place::default(), watch_below })
    }
}

impl Constraint {
    /// What may come next.
    pub fn turn(&mut self) -> Result<Turn, Error> {
        if self.matcher.is_stopped() {
            return self.check().map(|()| Turn::Done);
        }
        let forced = self.matcher.compute_ff_tokens();
        if !forced.is_empty() {
            return Ok(Turn::Forced(forced));
        }
        self.matcher.compute_mask().map(Turn::Choose).map_err(|error| failed(&error))
    }

    /// Takes a token the sampler chose with `left` tokens to go, itself included. When it would not leave enough room for
    /// the rest of the JSON, it is dropped and the way to the end is returned instead: the answer's last tokens.
    pub fn accept(&mut self, chosen: u32, left: usize) -> Result<Option<Vec<u32>>, Error> {
        let home = self.way_home(chosen, left)?;
        match &home {
            Some(plan) => self.advance(plan)?,
            None => self.advance(&[chosen])?,
        }
        Ok(home)
    }

    /// Appends tokens the grammar forced.
    pub fn advance(&mut self, tokens: &[u32]) -> Result<(), Error> {
        self.matcher.consume_tokens(tokens).map_err(|error| failed(&error))?;
        self.place = tokens.iter().fold(self.place, |place, &token| place.after(self.vocabulary.bytes(token)));
        Ok(())
    }

    /// Whether nothing can follow.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }

    /// Whether the answer may end here.
    pub fn is_complete(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }

    fn way_home(&mut self, chosen: u32, left: usize) -> Result<Option<Vec<u32>>, Error> {
        let Some(closing) = &self.closing else { return Ok(None) };
        if left > self.watch_below || self.vocabulary.is_end(chosen) {
            return Ok(None);
        }
        let mut ahead = self.matcher.deep_clone();
        ahead.consume_token(chosen).map_err(|error| failed(&error))?;
        let place = self.place.after(self.vocabulary.bytes(chosen));
        if closing.plan(&ahead, place).is_some_and(|plan| plan.len() < left) {
            return Ok(None);
        }
        Ok(closing.plan(&self.matcher, self.place).filter(|plan| plan.len() <= left))
    }

    fn check(&self) -> Result<(), Error> {
        match self.matcher.get_error() {
            None => Ok(()),
            Some(cause) => Err(Error::Inference { cause: first_line(&cause) }),
        }
    }
}

/// Spaces between JSON tokens are where a small model gets lost: none unless the schema says otherwise.
fn schema_grammar(mut schema: Value) -> Result<GrammarWithLexer, Error> {
    if schema.to_string().len() > MAX_GRAMMAR_BYTES {
        return Err(Error::invalid("response_format", format!("The schema is larger than {MAX_GRAMMAR_BYTES} bytes.")));
    }
    match &mut schema {
        Value::Object(members) => {
            members.entry("x-guidance").or_insert_with(|| json!({"whitespace_flexible": false}));
        }
        Value::Bool(true) => schema = json!({"x-guidance": {"whitespace_flexible": false}}),
        _ => return Err(Error::invalid("response_format", "The schema is not a JSON object. Send a JSON schema.")),
    }
    Ok(GrammarWithLexer::from_json_schema(schema))
}

fn failed(error: &impl ToString) -> Error {
    Error::Inference { cause: format!("the grammar stopped it, {}", first_line(&error.to_string())) }
}
