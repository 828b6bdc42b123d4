//! Values that options are made of: each is read from its written form, with a message that says what was expected.

use std::fmt;
use std::str::FromStr;

use seqweave_metrics::Metric;
use seqweave_seq2seq::search::{LengthPenalty, MaxLen};
use seqweave_tensor::Device;
use seqweave_train::bench::{SIZES, Size};

/// `--device`: where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The n-th GPU, or an error.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => match other.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Self::Cuda(n)),
                None => Err("expected auto, cpu, cuda or cuda:N".to_owned()),
            },
        }
    }
}

impl DeviceChoice {
    /// The device, and one sentence that says which it is and why.
    ///
    /// # Errors
    /// That there is no such device.
    pub fn open(self) -> seqweave_tensor::Result<(Device, String)> {
        match self {
            Self::Auto => Ok(Device::auto()),
            Self::Cpu => Ok((Device::cpu(), "cpu".to_owned())),
            Self::Cuda(n) => {
                let device = Device::cuda(n)?;
                let which = device.describe();
                Ok((device, which))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// Reads the size of `bench`: its name.
///
/// # Errors
/// The names.
pub fn bench_size(text: &str) -> Result<Size, String> {
    let names = || SIZES.map(|size| size.name).join(", ");
    SIZES.into_iter().find(|size| size.name == text).ok_or_else(|| format!("expected one of {}", names()))
}

/// Reads `--length-penalty`: `none`, `average`, `gnmt` or `gnmt=ALPHA`.
///
/// # Errors
/// What was expected.
pub fn length_penalty(text: &str) -> Result<LengthPenalty, String> {
    let wrong = || "expected none, average or gnmt=ALPHA with ALPHA from 0 to 10".to_owned();
    match text.split_once('=') {
        None if text == "none" => Ok(LengthPenalty::None),
        None if text == "average" => Ok(LengthPenalty::Average),
        None if text == "gnmt" => Ok(LengthPenalty::Gnmt { alpha: 0.6 }),
        Some(("gnmt", alpha)) => match alpha.parse() {
            Ok(alpha) if (0.0..=10.0).contains(&alpha) => Ok(LengthPenalty::Gnmt { alpha }),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// Reads `--max-len`: `2x+10`, `1.5x`, `x+3` or `80`, where x is the length of the source.
///
/// # Errors
/// What was expected.
pub fn max_len(text: &str) -> Result<MaxLen, String> {
    let wrong = || "expected a length such as 2x+10, 1.5x or 80".to_owned();
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    let (ratio, add) = match text.split_once('x') {
        None => (0.0, text.parse().map_err(|_| wrong())?),
        Some((ratio, add)) => {
            let ratio: f64 = if ratio.is_empty() { 1.0 } else { ratio.parse().map_err(|_| wrong())? };
            let add = match add.strip_prefix('+') {
                Some(add) => add.parse().map_err(|_| wrong())?,
                None if add.is_empty() => 0,
                None => return Err(wrong()),
            };
            (ratio, add)
        }
    };
    let sensible = (0.0..=1e6).contains(&ratio) && add <= 1_000_000 && (ratio > 0.0 || add > 0);
    if sensible { Ok(MaxLen { ratio, add }) } else { Err(wrong()) }
}

/// Reads `--repetition-penalty`.
///
/// # Errors
/// What was expected.
pub fn penalty(text: &str) -> Result<f64, String> {
    number(text, 1.0, 100.0)
}

/// Reads `--temperature`.
///
/// # Errors
/// What was expected.
pub fn temperature(text: &str) -> Result<f64, String> {
    number(text, 0.01, 100.0)
}

/// Reads `--top-p`.
///
/// # Errors
/// What was expected.
pub fn top_p(text: &str) -> Result<f64, String> {
    number(text, 0.001, 1.0)
}

fn number(text: &str, min: f64, max: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if (min..=max).contains(&x) => Ok(x),
        _ => Err(format!("expected a number from {min} to {max}")),
    }
}

/// `--fail-under`: a metric and the worst value it may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// What is measured.
    pub metric: Metric,
    /// The worst value that still passes.
    pub bound: f64,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bound) = text.split_once('=').ok_or("expected NAME=BOUND, as in wer=30")?;
        let metric = name.parse().map_err(|e: seqweave_metrics::Error| e.to_string())?;
        match bound.trim().parse::<f64>() {
            Ok(bound) if bound.is_finite() => Ok(Self { metric, bound }),
            _ => Err(format!("expected a number after {name}=, found `{bound}`")),
        }
    }
}

impl fmt::Display for Gate {
    /// `wer <= 30`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.metric.higher_is_better() { ">=" } else { "<=" };
        write!(f, "{} {sign} {}", self.metric, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, want) in [
            ("auto", DeviceChoice::Auto),
            ("CPU", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(want));
            assert_eq!(want.to_string().parse(), Ok(want));
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn length_penalties() {
        for (text, want) in [
            ("none", LengthPenalty::None),
            ("average", LengthPenalty::Average),
            ("gnmt", LengthPenalty::Gnmt { alpha: 0.6 }),
            ("gnmt=1.0", LengthPenalty::Gnmt { alpha: 1.0 }),
        ] {
            assert_eq!(length_penalty(text), Ok(want));
        }
        for text in ["", "gnmt=", "gnmt=-1", "gnmt=11", "gnmt=nan", "wu", "average=1"] {
            assert!(length_penalty(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths() {
        for (text, ratio, add) in
            [("2x+10", 2.0, 10), ("1.5x", 1.5, 0), ("80", 0.0, 80), ("x+3", 1.0, 3), (" 2 x + 1", 2.0, 1)]
        {
            assert_eq!(max_len(text), Ok(MaxLen { ratio, add }), "{text}");
        }
        for text in ["", "0", "0x", "x10", "2y+1", "2x-1", "-1x", "2x+", "nanx", "infx+1", "9999999"] {
            assert!(max_len(text).is_err(), "{text}");
        }
    }

    #[test]
    fn gates_say_what_they_want() {
        let gate = |text: &str| text.parse::<Gate>();
        assert_eq!(gate("wer=30").unwrap().to_string(), "wer <= 30");
        assert_eq!(gate("acc=90.5").unwrap().to_string(), "acc >= 90.5");
        assert!(gate("wer").unwrap_err().contains("NAME=BOUND"));
        assert!(gate("comet=30").unwrap_err().contains("expected one of wer"));
        assert!(gate("wer=many").unwrap_err().contains("found `many`"));
        assert!(gate("wer=nan").is_err());
    }
}
