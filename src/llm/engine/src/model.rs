//! The Llama network over GGUF weights: tokens and a position in, logits of the last token out.
//!
//! Invariant: keys and values of positions below `position` are in the cache when `forward` is called; the caller decides
//! which those are. Weights stay quantised, the embedding table too. Sampling and text do not belong here.

use std::io::{Read, Seek};

use candle_core::quantized::{QMatMul, gguf_file::Content};
use candle_core::{D, Device, Module, Result, Tensor, bail};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_i;

/// The shape of the network, read from the file's metadata and checked before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Tokens the model was trained to see at once.
    pub trained_context: usize,
    layers: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    norm_epsilon: f32,
    rope_base: f32,
}

impl Shape {
    /// Reads and checks the metadata. Refuses anything but a dense Llama.
    pub fn read(content: &Content) -> Result<Self> {
        let architecture = content.metadata.get("general.architecture").and_then(|value| value.to_string().ok());
        if architecture.map(String::as_str) != Some("llama") {
            bail!("its architecture is {}, and only llama is supported", architecture.map_or("unknown", String::as_str))
        }
        let number = |key: &str| -> Result<usize> {
            match content.metadata.get(key) {
                Some(value) => Ok(value.to_u32()? as usize),
                None => bail!("the metadata key {key} is missing"),
            }
        };
        let real = |key: &str| content.metadata.get(key).and_then(|value| value.to_f32().ok());
        let heads = number("llama.attention.head_count")?;
        let shape = Self {
            trained_context: number("llama.context_length")?,
            layers: number("llama.block_count")?,
            width: number("llama.embedding_length")?,
            heads,
            kv_heads: number("llama.attention.head_count_kv").unwrap_or(heads),
            head_width: number("llama.rope.dimension_count")?,
            norm_epsilon: real("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rope_base: real("llama.rope.freq_base").unwrap_or(10_000.0),
        };
        if number("llama.expert_count").unwrap_or(0) > 1 {
            bail!("it is a mixture of experts, which is not supported")
        }
        shape.check()
    }

    fn check(self) -> Result<Self> {
        let sane = (1..=1024).contains(&self.layers)
            && (1..=1024).contains(&self.heads)
            && self.kv_heads >= 1
            && self.heads.is_multiple_of(self.kv_heads)
            && self.head_width.is_multiple_of(2)
            && self.heads.checked_mul(self.head_width) == Some(self.width)
            && (1..=1 << 24).contains(&self.trained_context);
        if !sane {
            bail!("the sizes in its metadata contradict each other: {self:?}")
        }
        Ok(self)
    }
}

struct Layer {
    attention_norm: Tensor,
    query: QMatMul,
    key: QMatMul,
    value: QMatMul,
    output: QMatMul,
    mlp_norm: Tensor,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
    /// (1, kv_heads, context, head_width), zeroed pages until used.
    keys: Tensor,
    values: Tensor,
}

/// A loaded network with its key-value cache of `context` positions.
pub struct Model {
    shape: Shape,
    embedding: QMatMul,
    layers: Vec<Layer>,
    norm: Tensor,
    head: QMatMul,
    cos: Tensor,
    sin: Tensor,
}

impl Model {
    /// Reads the weights. `context` is the number of positions to keep, at most the trained ones.
    pub fn load(content: &Content, file: &mut (impl Read + Seek), shape: Shape, context: usize) -> Result<Self> {
        let device = Device::Cpu;
        let embedding = QMatMul::from_qtensor(content.tensor(file, "token_embd.weight", &device)?)?;
        let head = if content.tensor_infos.contains_key("output.weight") {
            QMatMul::from_qtensor(content.tensor(file, "output.weight", &device)?)?
        } else {
            embedding.clone()
        };
        let norm = content.tensor(file, "output_norm.weight", &device)?.dequantize(&device)?;
        let factors = match content.tensor_infos.contains_key("rope_freqs.weight") {
            true => Some(content.tensor(file, "rope_freqs.weight", &device)?.dequantize(&device)?.to_vec1()?),
            false => None,
        };
        let (cos, sin) = rotations(&shape, context, factors.as_deref())?;
        let layers = (0..shape.layers)
            .map(|index| Layer::load(content, file, &shape, context, index))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { shape, embedding, layers, norm, head, cos, sin })
    }

    /// Runs `tokens` at `position` and returns the logits after the last of them (one a vocabulary entry).
    pub fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Vec<f32>> {
        let mask = causal_mask(tokens.len(), position)?;
        let mut x = self.embedding.embedding(&Tensor::new(tokens, &Device::Cpu)?)?;
        let cos = self.cos.narrow(0, position, tokens.len())?;
        let sin = self.sin.narrow(0, position, tokens.len())?;
        for layer in &self.layers {
            x = layer.forward(&x, &self.shape, position, (&cos, &sin), mask.as_ref())?;
        }
        let last = x.narrow(0, tokens.len() - 1, 1)?.contiguous()?;
        let last = rms_norm(&last, &self.norm, self.shape.norm_epsilon)?;
        self.head.forward(&last)?.squeeze(0)?.to_vec1()
    }
}

impl Layer {
    fn load(
        content: &Content,
        file: &mut (impl Read + Seek),
        shape: &Shape,
        context: usize,
        index: usize,
    ) -> Result<Self> {
        let device = Device::Cpu;
        let mut tensor = |name: &str| content.tensor(file, &format!("blk.{index}.{name}.weight"), &device);
        let cache = (1, shape.kv_heads, context, shape.head_width);
        Ok(Self {
            attention_norm: tensor("attn_norm")?.dequantize(&device)?,
            query: QMatMul::from_qtensor(tensor("attn_q")?)?,
            key: QMatMul::from_qtensor(tensor("attn_k")?)?,
            value: QMatMul::from_qtensor(tensor("attn_v")?)?,
            output: QMatMul::from_qtensor(tensor("attn_output")?)?,
            mlp_norm: tensor("ffn_norm")?.dequantize(&device)?,
            gate: QMatMul::from_qtensor(tensor("ffn_gate")?)?,
            up: QMatMul::from_qtensor(tensor("ffn_up")?)?,
            down: QMatMul::from_qtensor(tensor("ffn_down")?)?,
            keys: Tensor::zeros(cache, candle_core::DType::F32, &device)?,
            values: Tensor::zeros(cache, candle_core::DType::F32, &device)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        shape: &Shape,
        position: usize,
        rotation: (&Tensor, &Tensor),
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let normed = rms_norm(x, &self.attention_norm, shape.norm_epsilon)?;
        let x = (x + self.attend(&normed, shape, position, rotation, mask)?)?;
        let normed = rms_norm(&x, &self.mlp_norm, shape.norm_epsilon)?;
        let hidden = (silu(&self.gate.forward(&normed)?)? * self.up.forward(&normed)?)?;
        x + self.down.forward(&hidden)?
    }

    /// Grouped-query attention: the query heads of one key head are stacked as rows, so nothing is copied per head.
    fn attend(
        &self,
        x: &Tensor,
        shape: &Shape,
        position: usize,
        (cos, sin): (&Tensor, &Tensor),
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let (group, seen) = (shape.heads / shape.kv_heads, position + rows);
        let split =
            |x: Tensor, heads: usize| x.reshape((1, rows, heads, shape.head_width))?.transpose(1, 2)?.contiguous();
        let query = rope_i(&split(self.query.forward(x)?, shape.heads)?, cos, sin)?;
        let key = rope_i(&split(self.key.forward(x)?, shape.kv_heads)?, cos, sin)?;
        self.keys.slice_set(&key, 2, position)?;
        self.values.slice_set(&split(self.value.forward(x)?, shape.kv_heads)?, 2, position)?;
        let keys = self.keys.narrow(2, 0, seen)?.squeeze(0)?;
        let values = self.values.narrow(2, 0, seen)?.squeeze(0)?;

        let query = query.reshape((shape.kv_heads, group * rows, shape.head_width))?;
        let scores = (query.matmul(&keys.t()?)? / (shape.head_width as f64).sqrt())?;
        let scores = match mask {
            None => scores,
            Some(mask) => scores.reshape((shape.kv_heads, group, rows, seen))?.broadcast_add(mask)?.reshape((
                shape.kv_heads,
                group * rows,
                seen,
            ))?,
        };
        let mixed = softmax_last_dim(&scores)?.matmul(&values)?;
        let mixed = mixed.reshape((shape.heads, rows, shape.head_width))?.transpose(0, 1)?.reshape((rows, width))?;
        self.output.forward(&mixed)
    }
}

/// What a query at `position + row` may not see yet is minus infinity. One token sees everything: no mask.
fn causal_mask(rows: usize, position: usize) -> Result<Option<Tensor>> {
    if rows == 1 {
        return Ok(None);
    }
    let seen = position + rows;
    let mask: Vec<f32> = (0..rows)
        .flat_map(|row| (0..seen).map(move |column| if column > position + row { f32::NEG_INFINITY } else { 0.0 }))
        .collect();
    Tensor::from_vec(mask, (rows, seen), &Device::Cpu).map(Some)
}

/// Cosines and sines of rotary position embedding (arXiv 2104.09864), each (context, head_width / 2).
fn rotations(shape: &Shape, context: usize, factors: Option<&[f32]>) -> Result<(Tensor, Tensor)> {
    let half = shape.head_width / 2;
    let factor = |index: usize| factors.and_then(|list| list.get(index)).copied().unwrap_or(1.0);
    let frequencies: Vec<f32> =
        (0..half).map(|index| shape.rope_base.powf(-(index as f32) / half as f32) / factor(index)).collect();
    let frequencies = Tensor::from_vec(frequencies, (1, half), &Device::Cpu)?;
    let positions: Vec<f32> = (0..context).map(|position| position as f32).collect();
    let angles = Tensor::from_vec(positions, (context, 1), &Device::Cpu)?.broadcast_mul(&frequencies)?;
    debug_assert_eq!(angles.dim(D::Minus1)?, half);
    Ok((angles.cos()?, angles.sin()?))
}
