//! What a configuration may say, and what it is refused for.

use super::*;

fn parse(json: &str) -> std::result::Result<ModelConfig, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn an_empty_table_is_the_default() {
    assert_eq!(parse("{}").unwrap(), ModelConfig::default());
}

#[test]
fn a_configuration_survives_json() {
    let rotary =
        ModelConfig { positions: Positions::Rotary, dropout: 0.1, tied: false, ..Default::default() };
    let ahead = ModelConfig { horizons: 5, merge_horizons: true, ..Default::default() };
    for config in [rotary, ahead] {
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
}

#[test]
fn each_bad_value_is_refused_by_name() {
    for (json, named) in [
        (r#"{"layers": 0}"#, "model.layers"),
        (r#"{"width": 1099511627776}"#, "model.width"),
        (r#"{"width": 65536, "rank": 65536, "hidden": 65536, "layers": 1024}"#, "model parameters"),
        (r#"{"heads": 3}"#, "model.width"),
        (r#"{"heads": 0}"#, "model.heads"),
        (r#"{"width": 6, "heads": 2, "positions": "rotary"}"#, "model.width"),
        (r#"{"project": false, "rank": 32}"#, "model.rank"),
        (r#"{"dropout": 1.0}"#, "model.dropout"),
        (r#"{"dropout": -0.1}"#, "model.dropout"),
        (r#"{"window": 0}"#, "model.window"),
        (r#"{"layer": 2}"#, "layer"),
        (r#"{"block": "recurrent"}"#, "recurrent"),
        (r#"{"rank": -1}"#, "-1"),
        (r#"{"horizons": 0}"#, "model.horizons"),
        (r#"{"horizons": 257}"#, "model.horizons"),
        (r#"{"merge_horizons": true}"#, "model.merge_horizons"),
        (r#"{"tower": {"hidden": 0}}"#, "model.tower.hidden"),
        (r#"{"tower": {"mask_input": 1.0}}"#, "model.tower.mask_input"),
        (r#"{"tower": {"weight_decay": -1}}"#, "model.tower.weight_decay"),
        (r#"{"tower": {"row_weight_decay": 11}}"#, "model.tower.row_weight_decay"),
        (r#"{"tower": {"cold_below": 0}}"#, "model.tower.cold_below"),
        (r#"{"tower": {"modalities": [["b", 2], ["a", 2]]}}"#, "ascending"),
        (r#"{"tower": {"modalities": [["a/b", 2]]}}"#, "letters"),
        (r#"{"tower": {"gate": -1.0}}"#, "model.tower.gate"),
        (r#"{"tower": {"depth": 2}}"#, "depth"),
    ] {
        let message = parse(json).unwrap_err();
        assert!(message.contains(named), "{json}: {message}");
    }
}

#[test]
fn parameters_of_a_small_model_are_counted_by_hand() {
    let config = ModelConfig {
        layers: 1,
        width: 4,
        heads: 2,
        hidden: 3,
        rank: 2,
        window: 5,
        ..ModelConfig::default()
    };
    // table 10·2, project_in 4·2, head 2·4, positions 5·4, qkv 12·4, out 4·4, gate_up 6·4, down 4·3
    assert_eq!(config.parameter_count(10).unwrap(), 20 + 8 + 8 + 20 + 48 + 16 + 24 + 12);
    assert!(matches!(config.parameter_count(1 << 40), Err(Error::TooLarge { .. })));
    let count = |config: &ModelConfig| config.parameter_count(10).unwrap();
    let ahead = ModelConfig { horizons: 3, ..config.clone() };
    assert_eq!(count(&ahead) - count(&config), 2 * 4, "two vectors of width 4");
    assert_eq!(count(&ModelConfig { merge_horizons: true, ..ahead }), count(&config));
}

#[test]
fn a_model_of_one_horizon_is_written_as_before_there_were_any() {
    assert!(!serde_json::to_string(&ModelConfig::default()).unwrap().contains("horizons"));
}
