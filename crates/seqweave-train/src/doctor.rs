//! A look over a whole configuration before it is trained: its data, and its model beside them.

use seqweave_data::{Diagnosis, Finding, Severity, diagnose};
use seqweave_tensor::Device;
use serde::Serialize;

use crate::Result;
use crate::config::Config;
use crate::initial::Initial;
use crate::plan::{Sizes, check_memory, planned_model};

/// Parameters a token of an epoch from which a model can learn its corpus by heart.
const MANY: f64 = 10.0;

/// What [`doctor`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checkup {
    /// The data; its findings include those of the model.
    #[serde(flatten)]
    pub data: Diagnosis,
    /// Parameters of the model.
    pub parameters: usize,
    /// Whose memory was looked at; what was found is among the findings.
    pub memory: MemoryCheck,
}

/// Whether [`doctor`] compared what training needs with the memory of the device it is to run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryCheck {
    /// With that of this device.
    Checked(String),
    /// With none, for this reason: the device is not in this machine.
    Unchecked(String),
}

/// Looks over data and model of a configuration. Nothing is trained and nothing written.
///
/// `device` is where it is to be trained, with a word about it, or why there is no such device in this machine: a
/// configuration may be looked over on another machine than the one that is to train it.
///
/// # Errors
/// Bad settings, and data that cannot be read.
pub fn doctor(config: &Config, device: std::result::Result<(Device, String), String>) -> Result<Checkup> {
    let initial = config.train.init_from.as_deref().map(Initial::open).transpose()?;
    let mut data = diagnose(&config.data, initial.as_ref().map(Initial::known))?;
    let ([src, tgt], tags) = (data.vocab, data.tags);
    let (_, builder) = planned_model(config, Sizes { src, tags, tgt })?;
    let parameters = builder.numel();
    let share = parameters as f64 / data.tokens.max(1) as f64;
    if share > MANY {
        let found = format!(
            "the model has {parameters} parameters for {} tokens an epoch, {share:.0} for each",
            data.tokens
        );
        let help = "it may learn them by heart: lower model.hidden and model.emb, raise model.dropout, or use \
                    a smaller vocabulary";
        data.findings.push(Finding::new(Severity::Advice, "model-large", found, help));
    }
    let memory = match device {
        Err(why) => MemoryCheck::Unchecked(why),
        Ok((device, which)) => {
            if let Err(error) = check_memory(config, &builder, &device) {
                let text = error.to_string();
                let (found, help) = text.split_once("\nhelp: ").unwrap_or((&text, "lower model.hidden"));
                data.findings.insert(0, Finding::new(Severity::Problem, "memory", found, help));
            }
            MemoryCheck::Checked(which)
        }
    };
    Ok(Checkup { data, parameters, memory })
}
