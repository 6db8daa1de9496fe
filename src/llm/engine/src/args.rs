//! The command line: few options, all from the parent process, so parsed by hand.

use std::ffi::OsString;
use std::path::PathBuf;

/// How to call the engine.
pub const USAGE: &str = "resoftai-engine --model PATH.gguf [--name NAME] [--context N] [--threads N] (a listening Unix \
                         socket is standard input)";

/// What the parent asked for.
#[derive(Debug, PartialEq)]
pub struct Args {
    /// The GGUF file.
    pub model: PathBuf,
    /// The model's id in answers; the file's stem unless given.
    pub name: String,
    /// Most tokens of a request, capped by what the model was trained for.
    pub context: Option<usize>,
    /// Threads of the computation; the processor's cores unless given.
    pub threads: Option<usize>,
}

impl Args {
    /// Parses the arguments after the program's name. The error is one sentence.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let (mut model, mut name, mut context, mut threads) = (None, None, None, None);
        while let Some(option) = arguments.next() {
            let option = option.to_string_lossy().into_owned();
            let Some(value) = arguments.next() else { return Err(format!("{option} lacks its value. Usage: {USAGE}")) };
            match option.as_str() {
                "--model" => model = Some(PathBuf::from(value)),
                "--name" => name = Some(value.to_string_lossy().into_owned()),
                "--context" => context = Some(number(&option, &value, 16..=1 << 20)?),
                "--threads" => threads = Some(number(&option, &value, 1..=256)?),
                _ => return Err(format!("{option} is not an option. Usage: {USAGE}")),
            }
        }
        let Some(model) = model else { return Err(format!("--model is missing. Usage: {USAGE}")) };
        let stem = model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.or(stem).unwrap_or_else(|| "model".to_owned());
        Ok(Self { model, name, context, threads })
    }
}

fn number(option: &str, value: &OsString, range: std::ops::RangeInclusive<usize>) -> Result<usize, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
    parsed.ok_or_else(|| {
        format!("{option} is {}; it must be a number from {} to {}.", value.display(), range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_name_is_the_files_stem_unless_given() {
        assert_eq!(parse("--model /m/smol.gguf").unwrap().name, "smol");
        assert_eq!(parse("--model /m/smol.gguf --name demo").unwrap().name, "demo");
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_named() {
        assert!(parse("").unwrap_err().contains("--model is missing"));
        assert!(parse("--model").unwrap_err().contains("--model lacks its value"));
        assert!(parse("--model x --threads 0").unwrap_err().contains("--threads is 0"));
        assert!(parse("--model x --port 1").unwrap_err().contains("--port is not an option"));
    }
}
