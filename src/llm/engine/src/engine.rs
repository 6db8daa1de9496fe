//! A loaded model and the inference thread: one answer at a time.
//!
//! Invariant: the same prompt, settings and seed give the same answer whatever came before; so of an earlier request only
//! whole prompt chunks are reused, never positions computed one by one. HTTP does not belong here.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use serde_json::json;

use crate::chat::Template;
use crate::constraint::{Constraint, Grammars, Turn};
use crate::error::{Error, first_line};
use crate::log;
use crate::model::{Model, Shape};
use crate::queue::{Event, Finish, Job, Queue, Usage};
use crate::sampler::Sampler;
use crate::text::Text;
use crate::vocabulary::Vocabulary;

/// Prompt tokens computed between two looks at the cancel flag.
const CHUNK: usize = 32;

/// What the door needs to know about the model.
pub struct Facts {
    pub vocabulary: Vocabulary,
    pub template: Template,
    pub grammars: Grammars,
    /// Tokens a request may take, prompt and answer together.
    pub context: usize,
    /// Tokens the model was trained to see.
    pub trained_context: usize,
}

/// A model with its state.
pub struct Engine {
    model: Model,
    vocabulary: Vocabulary,
    /// Tokens of the cache's first positions that were computed in whole chunks of a prompt.
    kept: Vec<u32>,
}

/// Loads a model, tries it once, and returns it with the door's view. `limit` caps the context. The error is one
/// sentence that names the file.
pub fn load(path: &Path, limit: Option<usize>) -> Result<(Engine, Arc<Facts>), String> {
    let started = Instant::now();
    let failed = |cause: String| format!("The model file {} cannot be used: {cause}.", path.display());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let result = read(&mut BufReader::with_capacity(1 << 20, file), limit);
    let (engine, facts) = result.map_err(|error| failed(first_line(&error.to_string())))?;
    let context = facts.context;
    log::info(
        "The model is loaded.",
        json!({"context": context, "milliseconds": started.elapsed().as_millis() as u64}),
    );
    Ok((engine, facts))
}

fn read(file: &mut BufReader<File>, limit: Option<usize>) -> candle_core::Result<(Engine, Arc<Facts>)> {
    let content = Content::read(file)?;
    let shape = Shape::read(&content)?;
    let context = shape.trained_context.min(limit.unwrap_or(usize::MAX));
    let vocabulary = Vocabulary::read(&content)?;
    let template = Template::read(&content, &vocabulary)?;
    let grammars = Grammars::new(&vocabulary)?;
    let mut model = Model::load(&content, file, shape, context)?;
    let logits = model.forward(&[0], 0)?;
    if logits.len() < vocabulary.len() || logits.iter().any(|logit| !logit.is_finite()) {
        candle_core::bail!("its weights do not fit its vocabulary or are not numbers; the file is damaged")
    }
    let facts =
        Facts { vocabulary: vocabulary.clone(), template, grammars, context, trained_context: shape.trained_context };
    Ok((Engine { model, vocabulary, kept: Vec::new() }, Arc::new(facts)))
}

impl Engine {
    /// Answers jobs for ever.
    pub fn run(mut self, queue: &Queue) {
        loop {
            let mut job = queue.pop();
            let started = Instant::now();
            match self.answer(&mut job) {
                Ok(Some((finish, usage))) => {
                    let seconds = started.elapsed().as_secs_f64();
                    let (prompt, cached, completion) = (usage.prompt, usage.cached, usage.completion);
                    let fields = json!({"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": completion,
                        "finish_reason": finish.name(), "seconds": seconds});
                    log::info("Answered.", fields);
                    send(&job, Event::Done { finish, usage });
                }
                Ok(None) => log::info("The client left; its answer was stopped.", json!({})),
                Err(error) => {
                    log::error(&error.to_string(), json!({}));
                    send(&job, Event::Failed(error));
                }
            }
        }
    }

    /// None when the client left.
    fn answer(&mut self, job: &mut Job) -> Result<Option<(Finish, Usage)>, Error> {
        let mut usage = Usage { prompt: job.prompt.len(), ..Usage::default() };
        let Some((mut logits, cached)) = self.read_prompt(job)? else { return Ok(None) };
        usage.cached = cached;
        let mut sampler = Sampler::new(job.settings);
        let mut text = Text::new(std::mem::take(&mut job.stops));
        let mut constraint = job.constraint.take();
        loop {
            if job.cancel.is_cancelled() {
                return Ok(None);
            }
            let left = job.max_tokens - usage.completion;
            let step = step(&mut logits, &mut sampler, constraint.as_mut(), &self.vocabulary, left)?;
            let position = job.prompt.len() + usage.completion;
            usage.completion += step.tokens.len();
            for &token in &step.tokens {
                sampler.accept(token);
                let (shown, stopped) = text.push(self.vocabulary.bytes(token));
                send_text(job, shown);
                if stopped {
                    return Ok(Some((Finish::Stop, usage)));
                }
            }
            if let Some(finish) = step.finish {
                send_text(job, text.finish());
                return Ok(Some((finish, usage)));
            }
            logits = self.model.forward(&step.tokens, position)?;
        }
    }

    /// Computes the prompt chunk by chunk, but for the chunks kept from before. Returns the logits after it and the number
    /// of tokens kept; none when the client left.
    fn read_prompt(&mut self, job: &Job) -> Result<Option<(Vec<f32>, usize)>, Error> {
        let same = self.kept.iter().zip(&job.prompt).take_while(|(kept, token)| kept == token).count();
        // At least one token is computed, for its logits.
        let cached = same.min(job.prompt.len() - 1) / CHUNK * CHUNK;
        self.kept.truncate(cached);
        let mut logits = Vec::new();
        for chunk in job.prompt[cached..].chunks(CHUNK) {
            if job.cancel.is_cancelled() {
                return Ok(None);
            }
            let position = self.kept.len();
            logits = self.model.forward(chunk, position)?;
            if chunk.len() == CHUNK {
                self.kept.extend_from_slice(chunk);
            }
        }
        Ok(Some((logits, cached)))
    }
}

/// What one round of the loop adds to the answer.
struct Step {
    tokens: Vec<u32>,
    finish: Option<Finish>,
}

/// Decides the next tokens with `left` to go, at least one. End tokens count, and end the answer.
fn step(
    logits: &mut [f32],
    sampler: &mut Sampler,
    constraint: Option<&mut Constraint>,
    vocabulary: &Vocabulary,
    left: usize,
) -> Result<Step, Error> {
    let Some(constraint) = constraint else {
        let token = sampler.choose(logits, None, vocabulary);
        let finish = if vocabulary.is_end(token) { Some(Finish::Stop) } else { (left == 1).then_some(Finish::Length) };
        return Ok(Step { tokens: vec![token], finish });
    };
    let tokens = match constraint.turn()? {
        Turn::Done => return Ok(Step { tokens: Vec::new(), finish: Some(Finish::Stop) }),
        Turn::Forced(mut tokens) => {
            tokens.truncate(left);
            constraint.advance(&tokens)?;
            tokens
        }
        Turn::Choose(allowed) => {
            let chosen = sampler.choose(logits, Some(&allowed), vocabulary);
            if vocabulary.is_end(chosen) {
                return Ok(Step { tokens: vec![chosen], finish: Some(Finish::Stop) });
            }
            if let Some(rest) = constraint.accept(chosen, left)? {
                return Ok(Step { tokens: rest, finish: Some(Finish::Stop) });
            }
            vec![chosen]
        }
    };
    let over = constraint.is_over() || (tokens.len() == left && constraint.is_complete());
    let finish = if over { Some(Finish::Stop) } else { (tokens.len() == left).then_some(Finish::Length) };
    Ok(Step { tokens, finish })
}

fn send_text(job: &Job, text: String) {
    if !text.is_empty() {
        send(job, Event::Text(text));
    }
}

/// A receiver that is gone has set the cancel flag; the loop sees it there.
fn send(job: &Job, event: Event) {
    let _gone = job.events.send(event);
}
