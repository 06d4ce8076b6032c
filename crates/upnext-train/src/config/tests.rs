//! Configurations that are refused, and how.

use super::*;

fn parse(text: &str) -> Result<RunConfig> {
    RunConfig::from_toml(text, Path::new("runs/small.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn every_mistake_names_file_line_and_key() {
    for (text, line, named) in [
        // Keys that nobody knows, with the nearest one.
        ("[train]\nlrr = 1e-3", 2, "unknown key `train.lrr`: did you mean `lr`?"),
        (
            "[train]\nlr = 1e-3\nwarmup_step = 3",
            3,
            "unknown key `train.warmup_step`: did you mean `warmup_steps`?",
        ),
        ("[loss]\ncuont = 3", 2, "unknown key `loss.cuont`: did you mean `count`?"),
        ("[model]\nwidht = 64", 2, "unknown key `model.widht`: did you mean `width`?"),
        ("[modle]\nwidth = 64", 1, "unknown key `modle`: did you mean `model`?"),
        ("model.head = 2", 1, "unknown key `model.head`: did you mean `heads`?"),
        ("[train]\nfrobnicate = 1", 2, "unknown key `train.frobnicate`: known are `protocol`"),
        // Values of another type.
        ("[train]\nlr = \"fast\"", 2, "`train.lr`: invalid type: string \"fast\""),
        (
            "[loss]\n\ncount = 1.5",
            3,
            "`loss.count`: invalid type: floating point `1.5`, expected a whole number that is not negative",
        ),
        ("[model]\ntied = 1", 2, "`model.tied`: invalid type: integer `1`"),
        ("[train]\nseed = -1", 2, "`train.seed`: "),
        ("train = 3", 1, "`train`: invalid type: integer `3`, expected a table of keys"),
        // Words that nobody knows.
        (
            "[train]\nschedule = \"cosin\"",
            2,
            "`train.schedule` is \"cosin\", which is unknown: did you mean `cosine`?",
        ),
        (
            "[loss]\nkind = \"gbce\"",
            2,
            "`loss.kind` is \"gbce\", which is unknown: known are `sampled-softmax`",
        ),
        ("[loss]\nshare = \"history\"", 2, "`loss.share` is \"history\", which is unknown"),
        (
            "[loss]\nnegatives = \"popular\"",
            2,
            "`loss.negatives`: unknown negatives `popular`, expected `uniform`",
        ),
        ("[train]\nprecision = \"fp8\"", 2, "`train.precision` is \"fp8\", which is unknown"),
        (
            "[train]\nprotocol = \"leave-one-out\"",
            2,
            "`train.protocol`: protocol \"leave-one-out\": the nearest valid form is loo: there is no protocol",
        ),
        ("[train]\nprotocol = \"last:x\"", 2, "last:<n>[,<m>]: \"x\" is no whole number that fits"),
        ("[train]\nprotocol = \"time:9,5\"", 2, "the validation cut 9 is not before the test cut 5"),
        // Values out of range.
        ("[train]\nlr = 0", 2, "`train.lr` is 0, but it must be above 0"),
        ("[train]\nlr = nan", 2, "`train.lr` is NaN"),
        ("[train]\nclip = 0.0", 2, "`train.clip` is 0, but it must be above 0; inf for no limit"),
        ("[train]\npatience = 0", 2, "`train.patience` is 0, but it must be at least 1"),
        ("[train]\nusers = 0", 2, "`train.users` is 0"),
        ("[train]\nmax_epochs = 0", 2, "`train.max_epochs` is 0"),
        ("[train]\nbeta2 = 1.0", 2, "`train.beta2` is 1"),
        ("[loss]\ncount = 0", 2, "`loss.count` is 0, but it must lie in 1..="),
        ("[loss]\ncold_boost = 0.5", 2, "`loss.cold_boost` is 0.5, but it lowers items that"),
        (
            "[model.tower]\nmask_input = 0.1\n[loss]\nkind = \"full-softmax\"\ncold_boost = 0.5",
            5,
            "`loss.cold_boost` is 0.5, but it lowers items that",
        ),
        ("[loss]\nalign = 0.1", 2, "`loss.align` is 0.1, but it aligns a tower"),
        ("[train]\nreplay = 0.0", 2, "`train.replay` is 0, but it must lie in (0, 1]"),
        ("[loss]\nnegatives = \"popularity^-1\"", 2, "`loss.negatives` is popularity^-1"),
        (
            "[model]\nlayers = 2\nheads = 3",
            0,
            "`model.width` is 64, but it must be a multiple of `model.heads`",
        ),
        ("[model]\nwidth = 63\nrank = 3", 2, "`model.width` is 63"),
        ("[model]\nwindow = 50\n[train]\ntokens = 49", 4, "`train.tokens` is 49"),
        ("[train]\nusers = 3\ntokens = 900", 3, "`train.tokens` is 900, but it stands beside `train.users`"),
        // Text that is no TOML.
        ("[train\nlr = 1", 1, "unclosed table"),
        ("[train]\nlr = ", 2, "value"),
        ("[train]\nlr = 1\nlr = 2", 3, "duplicate key"),
    ] {
        let message = refusal(text);
        let place = match line {
            0 => "runs/small.toml: ".to_owned(),
            line => format!("runs/small.toml:{line}: "),
        };
        assert!(
            message.starts_with(&place) && message.contains(named),
            "{text:?}\nexpected {place}{named}\ngot {message}"
        );
    }
}

#[test]
fn a_caret_points_at_the_mistake() {
    let message = refusal("[train]\nseed = 1\n  lrr = 1e-3 # ü\n");
    assert!(message.ends_with("\n  |\n3 |   lrr = 1e-3 # ü\n  |   ^^^"), "{message}");
    let message = refusal("[train]\nlr = -0.5\n");
    assert!(message.ends_with("\n2 | lr = -0.5\n  | ^^^^^^^^^"), "{message}");
    let message = refusal("[train]\nprotocol = \"last:0\"\n");
    assert!(message.ends_with("\n2 | protocol = \"last:0\"\n  |            ^^^^^^^^"), "{message}");
}

#[test]
fn no_text_makes_it_panic() {
    let text = "[model]\nwidth = 64 # é\n[train]\nlr = 1e-3\nprotocol = \"loo\"\n";
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        for byte in [b'\n', b'"', b'[', b'=', 0xff, b'\\', b'#', b'9'] {
            let mut bytes = bytes.to_vec();
            bytes[at] = byte;
            if let Err(error) = parse(&String::from_utf8_lossy(&bytes)) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_resolved_configuration_reads_back_as_itself() {
    for text in [
        "",
        "[train]\ntokens = 4096\nmax_steps = 100\neval_every = 7\nclip = inf\nprotocol = \"time:10,20\"",
        "[train]\nkeep_seen = true\nreplay = 0.5",
        "[loss]\nnegatives = \"popularity^0.75\"\n[model]\ndropout = 0.3\nproject = false",
        "[model]\nhorizons = 5\nmerge_horizons = true\n[loss]\nhorizon_decay = 0.5",
        "[loss]\nkind = \"full-softmax\"\n[train]\ntable_optimizer = \"dense\"\nschedule = \"cosine\"",
    ] {
        let config = parse(text).unwrap();
        let resolved = config.to_toml().unwrap();
        assert_eq!(parse(&resolved).unwrap(), config, "{resolved}");
        assert_eq!(parse(&resolved).unwrap().to_toml().unwrap(), resolved);
    }
    let resolved = parse("[loss]\nnegatives = \"popularity\"").unwrap().to_toml().unwrap();
    assert!(resolved.contains("correction = \"rest\"") && resolved.contains("dropout = 0.2\n"), "{resolved}");
}

#[test]
fn the_correction_follows_the_negatives_unless_it_is_given() {
    let correction = |text| parse(text).unwrap().loss.correction;
    assert_eq!(correction("[loss]\nnegatives = \"uniform\""), Correction::None);
    assert_eq!(correction("[loss]\nnegatives = \"popularity^0.5\""), Correction::Rest);
    assert_eq!(correction("[loss]\nnegatives = \"popularity\"\ncorrection = \"logq\""), Correction::Logq);
}

#[test]
fn overrides_are_toml_or_plain_words() {
    let mut config = parse("[train]\nusers = 8").unwrap();
    config.set("train.lr", "3e-4").unwrap();
    config.set("train.schedule", "cosine").unwrap();
    config.set("loss.negatives", "\"popularity^0.5\"").unwrap();
    config.set("train.max_steps", "12").unwrap();
    config.set("train.tokens", "4096").unwrap();
    config.set("train.protocol", "last:10").unwrap();
    assert_eq!((config.train.lr, config.train.schedule), (3e-4, Schedule::Cosine));
    assert_eq!(config.loss.negatives, Negatives::Popularity { alpha: 0.5 });
    assert_eq!(config.train.max_steps, Some(12));
    assert_eq!(config.train.batch, upnext_data::BatchSize::Tokens(4096));
    assert_eq!(config.train.protocol.to_string(), "last:10");
    config.set("model.tower.mask_input", "0.3").unwrap();
    config.set("model.tower.hidden", "16").unwrap();
    let tower = config.model.tower.unwrap();
    assert_eq!((tower.mask_input, tower.mask_output, tower.hidden), (0.3, 0.1, 16));
}

#[test]
fn overrides_are_refused_as_a_file_is_and_change_nothing() {
    let mut config = RunConfig::default();
    for (key, value, named) in [
        ("train.lrr", "1", "train.lrr=1: unknown key `train.lrr`: did you mean `lr`?"),
        ("trian.lr", "1", "trian.lr=1: unknown key `trian`: did you mean `train`?"),
        ("lr", "1", "lr=1: `lr` names no value"),
        ("train.lr", "0", "train.lr=0: `train.lr` is 0, but it must be above 0"),
        ("train.lr", "fast", "train.lr=fast: `train.lr`: invalid type: string"),
        ("train.seed", "1\nlr = 2", "`train.seed`"),
        ("model.towr.hidden", "8", "model.towr.hidden=8: unknown key `model.towr`: did you mean `tower`?"),
        ("model.tower.hiden", "8", "unknown key `model.tower.hiden`: did you mean `hidden`?"),
        ("train.lr.now", "8", "`lr` in `train.lr.now` is no table"),
        ("loss.kind", "gbce", "loss.kind=gbce: `loss.kind` is \"gbce\""),
        ("model.heads", "3", "model.heads=3: `model.width` is 64"),
        ("model.horizons", "0", "model.horizons=0: `model.horizons` is 0, but it must lie in 1..=256"),
        ("model.horizons", "5.0", "model.horizons=5.0: `model.horizons`: invalid type"),
        ("model.horizon", "5", "unknown key `model.horizon`: did you mean `horizons`?"),
        ("model.merge_horizons", "true", "`model.merge_horizons` is true, but it merges `model.horizons`"),
        ("loss.horizon_decay", "0", "`loss.horizon_decay` is 0, but it must lie in (0, 1]"),
        ("loss.horizon_decay", "0.5", "`loss.horizon_decay` is 0.5, but it weighs horizons"),
    ] {
        let message = config.set(key, value).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
        assert_eq!(config, RunConfig::default());
    }
    config.set_all(&[("model.rank", "32"), ("model.width", "32"), ("model.project", "false")]).unwrap();
    assert_eq!(config.model.rank, 32);
}

#[test]
fn differences_name_the_key_and_both_values() {
    let (ours, theirs) =
        (parse("[train]\nlr = 1e-3").unwrap(), parse("[train]\nlr = 3e-4\nmax_steps = 5").unwrap());
    assert_eq!(ours.differences(&ours).unwrap(), Vec::<String>::new());
    let found = ours.differences(&theirs).unwrap();
    assert_eq!(
        found,
        ["train.lr is 0.001 in the run and 0.0003 now", "train.max_steps is absent in the run and 5 now"]
    );
}
