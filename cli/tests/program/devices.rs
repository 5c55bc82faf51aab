//! Which device runs, and what happens where the one asked for is not there.

use crate::{VULKAN_ALONE, example, has_adapter, run, without_adapters};

#[test]
fn the_list_names_adapters_and_choices() {
    let found = run(&["devices", "--json"]).succeeded().json();
    assert!(found["cpu"].as_str().unwrap().starts_with("CPU"));
    assert!(found["auto"]["name"].is_string() && found["auto"]["why"].is_string());
    let text = run(&["devices"]).succeeded();
    assert!(text.text().contains("--device auto") && text.stderr.is_empty());
    if !has_adapter() {
        return;
    }
    for adapter in found["adapters"].as_array().unwrap() {
        for fact in ["name", "kind", "backend", "driver"] {
            assert!(text.text().contains(adapter[fact].as_str().unwrap()), "{fact}");
        }
    }
    // A software adapter is nobody's choice but the user's.
    let software = found["adapters"][0]["kind"] == "software";
    assert_eq!(found["auto"]["kind"], if software { "cpu" } else { "gpu" });
}

#[test]
fn auto_says_what_it_took_and_why() {
    let found = run(&["devices", "--json"]).succeeded().json();
    let ran = run(&["run", &example("digits_logits.npy"), "--json"]).succeeded();
    assert_eq!(ran.json()["device"], found["auto"]);
    assert!(ran.stderr.contains(found["auto"]["why"].as_str().unwrap()));
}

#[test]
fn a_device_by_kind_and_by_name() {
    if !has_adapter() {
        return;
    }
    let input = example("digits_logits.npy");
    let found = run(&["devices", "--json"]).succeeded().json();
    let name = found["adapters"][0]["name"].as_str().unwrap();
    let part: String = name.chars().take(4).collect();
    for device in ["gpu", "GPU", name, &part.to_uppercase(), &part.to_lowercase()] {
        let facts = run(&["run", &input, "--device", device, "--json"]).succeeded().json();
        assert_eq!(facts["device"]["kind"], "gpu", "{device}");
        assert_eq!(facts["device"]["name"], name, "{device}");
    }
}

#[test]
fn a_name_that_no_adapter_has() {
    let error = run(&["run", &example("digits_logits.npy"), "--device", "abacus 9000"]).failed(4);
    assert!(error.contains("abacus 9000"), "{error}");
    if has_adapter() {
        let found = run(&["devices", "--json"]).succeeded().json();
        assert!(error.contains(found["adapters"][0]["name"].as_str().unwrap()), "{error}");
    }
    let error = run(&["explain", "4x5", "--device", "abacus 9000"]).failed(4);
    assert!(error.contains("abacus 9000"), "{error}");
}

#[test]
fn without_any_adapter() {
    if !VULKAN_ALONE {
        return;
    }
    let input = example("digits_logits.npy");
    let facts = without_adapters(&["run", &input, "--json"]).succeeded().json();
    assert_eq!(facts["device"]["kind"], "cpu");
    assert_eq!(facts["device"]["why"], "there is no GPU adapter");
    for device in ["gpu", "llvmpipe"] {
        let error = without_adapters(&["run", &input, "--device", device]).failed(4);
        assert!(error.contains("--device cpu"), "{error}");
        without_adapters(&["explain", "4x5", "--device", device]).failed(4);
    }
    let found = without_adapters(&["devices", "--json"]).succeeded();
    assert_eq!(found.json()["adapters"], serde_json::json!([]));
    let text = without_adapters(&["devices"]).succeeded();
    assert!(text.text().contains("no GPU adapter") && text.text().contains("--device auto  takes CPU"));
    assert!(without_adapters(&["explain", "4x5"]).succeeded().text().contains("WebGPU's default limits"));
}
