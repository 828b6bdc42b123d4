//! Names of parameters by pattern.

use crate::{Error, Result};

/// Whether `name` fits `pattern`: `*` stands for any characters, dots among them, `?` for one, all else for itself.
///
/// ```
/// use seqweave_nn::pattern_fits;
///
/// assert!(pattern_fits("encoder.*", "encoder.l0.fwd.weight_ih"));
/// assert!(pattern_fits("*.bias_?h", "decoder.l1.fwd.bias_hh"));
/// assert!(!pattern_fits("encoder", "encoder.embedding.weight"));
/// ```
pub fn pattern_fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when the characters after the last `*` do not fit: it takes one more character then.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (p, n) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Which of `names` fit at least one of `patterns`, one entry a name.
///
/// # Errors
/// [`Error::Pattern`] for a pattern that fits no name: it is a slip of the pen, or meant for another model.
pub(crate) fn fitting<'a>(
    patterns: &[String],
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<Vec<bool>> {
    for pattern in patterns {
        if !names.clone().any(|name| pattern_fits(pattern, name)) {
            let names = names.map(str::to_owned).collect();
            return Err(Error::Pattern { pattern: pattern.clone(), names });
        }
    }
    Ok(names.map(|name| patterns.iter().any(|pattern| pattern_fits(pattern, name))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a.b", true),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*bias*", "l0.fwd.bias_ih", true),
            ("*.l1.*weight*", "decoder.l1.fwd.weight_hh", true),
            ("*.l1.*weight*", "decoder.l0.fwd.weight_hh", false),
            ("a*b*c", "abxbc", true),
            ("a*b*c", "abxb", false),
            ("**x", "yyx", true),
            ("é?", "éa", true),
        ] {
            assert_eq!(pattern_fits(pattern, name), fits, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn a_pattern_that_could_take_for_ever_does_not() {
        assert!(!pattern_fits(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!pattern_fits(&format!("{}b", "*a".repeat(2000)), &"a".repeat(4000)));
    }

    #[test]
    fn a_pattern_without_a_name_is_an_error_that_lists_the_names() {
        let names = ["encoder.w", "encoder.b", "decoder.w"];
        let fit = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
            fitting(&patterns, names.iter().copied())
        };
        assert_eq!(fit(&["*.w"]).unwrap(), [true, false, true]);
        assert_eq!(fit(&["encoder.*", "*.w"]).unwrap(), [true; 3]);
        assert_eq!(fit(&[]).unwrap(), [false; 3]);
        let message = fit(&["*.w", "endocer.*"]).unwrap_err().to_string();
        assert!(
            message.contains("`endocer.*` fits no parameter") && message.contains("decoder.w"),
            "{message}"
        );
    }
}
