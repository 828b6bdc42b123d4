//! Scores of texts: what `evaluate` and `compare` print is what the field prints.

use crate::dir::Dir;
use crate::models::{tiny, trained};

const REFERENCE: &str = "The cat sat on the mat.\nIt's 3.5 km, isn't it?\n\nYes!\n";
const FIRST: &str = "The cat sat on a mat.\nIt is 3.5 km, isn't it?\n\nYes!\n";
const SECOND: &str = "On the mat sat the cat.\nIt's 4 km.\nwhat\nNo!\n";

/// ```sh
/// sacrebleu ref.txt -i first.txt -m bleu chrf ter -f text -w 12
/// ```
const PUBLISHED: [(&str, f64); 3] = [("bleu", 61.451399986061), ("chrf", 75.434865153440), ("ter", 25.0)];

fn systems() -> Dir {
    let dir = Dir::new();
    dir.create("ref.txt", REFERENCE);
    dir.create("first.txt", FIRST);
    dir.create("second.txt", SECOND);
    dir
}

#[test]
fn compare_tests_files_against_a_baseline() {
    let dir = systems();
    let command = "compare --ref ref.txt first.txt second.txt --metrics bleu,chrf,ter";
    let json = dir.seqweave(command).arg("--json").run().good().silent().json();
    assert_eq!(json["lines"], 4);
    for (i, (name, value)) in PUBLISHED.into_iter().enumerate() {
        let first = &json["systems"][0]["metrics"][i];
        assert_eq!(first["metric"], name);
        let found = first["value"].as_f64().expect("a number");
        assert!((found - value).abs() < 1e-9, "{name} {found}");
        assert!(first["signature"].as_str().expect("a text").starts_with("nrefs:1|bs:1000|seed:12345|case:"));
        assert!(first["interval"]["half"].as_f64().is_some() && first.get("p_value").is_none(), "{first}");
        let p = json["systems"][1]["metrics"][i]["p_value"].as_f64().expect("a number");
        assert!(p > 0.0 && p <= 1.0, "{p}");
    }
    let text = dir.seqweave(command).run().good();
    assert!(text.text().contains("baseline") && text.text().contains("p = 0."), "{}", text.report());
    // The same draws give the same numbers; other ones do not.
    let again = dir.seqweave(command).arg("--json").run().good().json();
    assert_eq!(again, json);
    let other = dir.seqweave(command).arg("--json").arg("--bootstrap-seed=3").run().good().json();
    assert_ne!(other["systems"][0]["metrics"][0]["interval"], json["systems"][0]["metrics"][0]["interval"]);
    // The references are read once, however many systems there are.
    let piped = dir.seqweave(&command.replace("ref.txt", "/dev/stdin")).arg("--json");
    let piped = piped.stdin(dir.read("ref.txt")).run().good().json();
    assert_eq!(piped, json);
    // Without draws there is nothing to be sure of.
    let bare = dir.seqweave(command).arg("--bootstrap=0").run().good();
    assert!(!bare.text().contains("p =") && !bare.text().contains('±'), "{}", bare.report());
}

#[test]
fn compare_says_what_it_lacks() {
    let dir = systems();
    dir.create("short.txt", "one line\n");
    let fails = |line: &str, code: i32, part: &str| {
        dir.seqweave(&format!("compare {line}")).run().exits(code).says(part);
    };
    fails("--ref ref.txt first.txt short.txt", 4, "short.txt");
    fails("--ref ref.txt first.txt", 2, "2 values required");
    fails("--ref ref.txt first.txt second.txt --metrics f0.5", 2, "add --src FILE");
    fails("--ref ref.txt first.txt second.txt --metrics ppl", 2, "seqweave evaluate");
    fails("--ref ref.txt first.txt second.txt --tok moses", 2, "13a, intl, zh, char, none");
    fails("--ref gone.txt first.txt second.txt", 4, "gone.txt");
}

#[test]
fn models_and_their_output_compare_alike() {
    let dir = trained().fresh();
    let pairs = dir.text("test.tsv");
    let side =
        |column: usize| pairs.lines().map(move |l| l.split('\t').nth(column).unwrap().to_owned() + "\n");
    dir.create("test.src", side(0).take(60).collect::<String>());
    dir.create("test.tgt", side(1).take(60).collect::<String>());
    dir.seqweave("translate -m run -i test.src -o out.txt").run().good();
    let command = "compare --ref test.tgt --src test.src run out.txt --metrics bleu,acc --json";
    let json = dir.seqweave(command).run().good().json();
    let (model, file) = (&json["systems"][0]["metrics"], &json["systems"][1]["metrics"]);
    for i in 0..2 {
        assert_eq!(model[i]["value"], file[i]["value"]);
        assert!(
            file[i]["p_value"].as_f64().expect("a number") < 0.01,
            "equal outputs never differ by chance"
        );
    }
    let evaluate = "evaluate -m run test.src test.tgt --metrics bleu,chrf++,ter,rouge1,f0.5,acc";
    let report = dir.seqweave(evaluate).arg("--json").run().good().json();
    assert_eq!(report["metrics"][0]["value"], model[0]["value"], "{report}");
    let text = dir.seqweave(evaluate).run().good();
    assert!(text.text().contains("tok:13a|smooth:exp|version:seqweave-"), "{}", text.report());
    assert!(text.text().contains(" ± "), "{}", text.report());
    dir.seqweave("evaluate -m run test.src test.tgt --fail-under bleu=100.5").run().exits(6);
}

#[test]
fn training_keeps_the_checkpoint_with_the_best_bleu() {
    let dir = Dir::new();
    tiny(&dir);
    let train = "train -c config.toml --run chosen --max-steps 60 --set valid.every=20 \
                 --set valid.metrics=[\"bleu\",\"chrf\"] --set valid.best_by=\"bleu\"";
    dir.seqweave(train).run().good();
    let table = dir.text("chosen/metrics.tsv");
    let header = table.lines().next().expect("a header");
    assert!(header.split('\t').any(|name| name == "bleu"), "{header}");
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn bleu_of_chinese_wants_another_tokenizer() {
    let dir = Dir::new();
    dir.create("ref.txt", "我喜歡深度學習。\n他在哪裡？\n");
    dir.create("first.txt", "我喜歡學習。\n他在哪裡？\n");
    dir.create("second.txt", "我喜歡深度學習。\n他是誰？\n");
    let compare = |rest: &str| {
        dir.seqweave(&format!("compare --ref ref.txt first.txt second.txt --bootstrap 0 {rest}")).run().good()
    };
    compare("--metrics bleu,chrf").says("use --tok zh for Chinese");
    compare("--metrics chrf,ter").silent();
    compare("--metrics bleu --tok zh").silent();
    compare("--metrics bleu --tok none").silent();
    let pairs: String = (0..40).map(|i| format!("he has {i} cats .\t他有{i}隻貓。\n")).collect();
    dir.create("pairs.tsv", &pairs);
    dir.seqweave("init mine --data pairs.tsv").run().good();
    let train = |set: &str| {
        let line =
            "train -c mine/config.toml --dry-run --set valid.metrics=[\"bleu\"] --set valid.best_by=bleu";
        dir.seqweave(line).arg(format!("--set={set}")).run().good()
    };
    train("valid.tok=13a").says("BLEU with valid.tok = \"13a\" takes what stands between blanks for a word");
    let good = train("valid.tok=zh");
    assert!(!good.report().contains("takes what stands"), "{}", good.report());
}
