//! Configurations with mistakes.

use super::{Row, allow, nothing, row};

pub fn rows() -> Vec<Row> {
    vec![
        row(
            "no such file",
            nothing,
            "train -c confg.toml",
            3,
            &["cannot read the configuration confg.toml", "No such file"],
        ),
        row(
            "a file that may not be read",
            |d| allow(d, "config.toml", 0),
            "train -c config.toml",
            3,
            &["cannot read the configuration config.toml: Permission denied"],
        )
        .without_privileges(),
        row(
            "a file without its option",
            nothing,
            "train config.toml",
            2,
            &["unexpected argument 'config.toml'", "a configuration file comes after -c"],
        ),
        row(
            "a pattern that fits no parameter",
            nothing,
            "config check -c config.toml --set train.freeze=['encodr.*']",
            3,
            &["`train.freeze` is \"encodr.*\", but no parameter has such a name", "encoder.embedding.weight"],
        ),
        row(
            "a folder instead of a file",
            nothing,
            "train -c model",
            3,
            &["cannot read the configuration model"],
        ),
        row(
            "a file that is not TOML",
            |d| d.create("config.toml", "[data]\ntrain = train.tsv\n"),
            "train -c config.toml",
            3,
            &["config.toml:2:9: not valid TOML"],
        ),
        row(
            "a file that is not UTF-8",
            |d| d.create("config.toml", b"# Gr\xfc\xdfe\n"),
            "train -c config.toml",
            3,
            &["config.toml:1:5: not valid TOML: the byte 0xfc at offset 4 is not UTF-8"],
        ),
        row(
            "an unknown key",
            |d| d.edit("config.toml", |bytes| bytes.extend(b"[decode]\nbeem = 4\n")),
            "train -c config.toml",
            3,
            &["config.toml:", "unknown key `decode.beem`; did you mean `beam`?"],
        ),
        row(
            "a value of the wrong type",
            |d| d.create("config.toml", "data.train = \"train.tsv\"\nmodel.hidden = \"64\"\n"),
            "train -c config.toml",
            3,
            &[
                "config.toml:2:16: `model.hidden` has the wrong type: expected an integer",
                "found the string \"64\"",
            ],
        ),
        row(
            "a value out of range",
            nothing,
            "train -c config.toml --set train.optimizer.lr=1e30",
            3,
            &["--set: `train.optimizer.lr` is 1e30, expected a number above 0 to 1000"],
        ),
        row(
            "a word that is none of the choices",
            nothing,
            "train -c config.toml --set model.cell=lsmt",
            3,
            &["`model.cell` is \"lsmt\", expected one of \"rnn\", \"lstm\", \"gru\"; did you mean \"lstm\"?"],
        ),
        row(
            "a number that is not finite",
            |d| d.create("config.toml", "data.train = \"train.tsv\"\ntrain.clip = nan\n"),
            "train -c config.toml",
            3,
            &["config.toml:2:14: `train.clip` is NaN, expected a number"],
        ),
        row(
            "no training data",
            |d| d.create("config.toml", "seed = 2\n"),
            "train -c config.toml",
            3,
            &["`data.train` is missing"],
        ),
        row(
            "settings that do not go together",
            nothing,
            "train -c config.toml --set model.hidden=33",
            3,
            &["`hidden` is 33, expected an even number because the encoder is bidirectional"],
        ),
        row(
            "four mistakes at once",
            |d| {
                d.create(
                    "config.toml",
                    "data.train = \"train.tsv\"\nmodel.layers = 2\nmodel.hidden = 0\n\
                     train.optimizer.kind = \"adamm\"\nvalid.every = 1.5\n",
                );
            },
            "train -c config.toml",
            3,
            &[
                "the configuration has 4 mistakes",
                "config.toml:2:",
                "unknown key `model.layers`. Keys in [model]: cell,",
                "config.toml:3:",
                "`model.hidden` is 0",
                "config.toml:4:",
                "did you mean \"adam\"?",
                "config.toml:5:",
                "`valid.every` has the wrong type",
            ],
        ),
        row(
            "a version of the format that is not known",
            |d| d.create("config.toml", "version = 2\ndata.train = \"train.tsv\"\n"),
            "train -c config.toml",
            3,
            &["config.toml:1:11: `version` is 2"],
        ),
        row(
            "an override that is no assignment",
            nothing,
            "train -c config.toml --set model.hidden",
            2,
            &["--set model.hidden: expected KEY=VALUE"],
        ),
        row(
            "an override of an unknown key",
            nothing,
            "train -c config.toml --set model.hiden=64",
            3,
            &["--set: unknown key `model.hiden`; did you mean `hidden`?"],
        ),
        row(
            "a key that is not explained",
            nothing,
            "config explain train.hidden",
            2,
            &["there is no key `train.hidden`", "did you mean model.hidden?"],
        ),
    ]
}
