// wgpu does not ask browsers for subgroups, which WebGPU has had since: so this asks in its place.

const FEATURE = "subgroups";

/** A calculator for `auto`, `gpu` or `cpu`, with subgroups where the browser's adapter has them. */
export async function openWithSubgroups(Calculator, choice) {
  const Adapter = globalThis.GPUAdapter?.prototype;
  if (!Adapter) return Calculator.open(choice);
  const requestDevice = Adapter.requestDevice;
  let lanes = 0;
  Adapter.requestDevice = function (descriptor = {}) {
    if (!this.features.has(FEATURE)) return requestDevice.call(this, descriptor);
    lanes = this.info.subgroupMinSize ?? 0;
    return requestDevice.call(this, { ...descriptor, requiredFeatures: [...(descriptor.requiredFeatures ?? []), FEATURE] });
  };
  let calculator;
  try {
    calculator = await Calculator.open(choice);
  } finally {
    Adapter.requestDevice = requestDevice;
  }
  if (lanes === 0 || !calculator.onGpu) return calculator;
  // The library checks them first. A browser whose shaders do not know them after all computes without.
  return calculator.withSubgroups(lanes).catch(() => Calculator.open(choice));
}
