// .npy files, written by the format's description (NEP 1) in all the ways that the page has to read, and read back.

const WRITERS = {
  f4: [4, (view, at, value, little) => view.setFloat32(at, value, little)],
  f8: [8, (view, at, value, little) => view.setFloat64(at, value, little)],
  i4: [4, (view, at, value, little) => view.setInt32(at, value, little)],
  i8: [8, (view, at, value, little) => view.setBigInt64(at, BigInt(Math.trunc(value)), little)],
};

/** A file of two dimensions; `value(row, column)` are its elements. */
export function npy([rows, columns], value, { type = "f4", order = "<", fortran = false } = {}) {
  const [size, write] = WRITERS[type];
  const header = `{'descr': '${order}${type}', 'fortran_order': ${fortran ? "True" : "False"}, ` +
    `'shape': (${rows}, ${columns}), }`;
  const padded = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const bytes = Buffer.alloc(10 + padded.length + rows * columns * size);
  bytes.write("\x93NUMPY\x01\x00", "latin1");
  bytes.writeUInt16LE(padded.length, 8);
  bytes.write(padded, 10, "latin1");
  const view = new DataView(bytes.buffer, bytes.byteOffset + 10 + padded.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const place = fortran ? column * rows + row : row * columns + column;
      write(view, place * size, value(row, column), order === "<");
    }
  }
  return bytes;
}

/** The shape and the f32 elements of a file. */
export function parsed(bytes) {
  const length = bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, 10 + length);
  if (!header.includes("'<f4'")) throw new Error(`not f32: ${header}`);
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((part) => part.trim()).map(Number);
  const data = bytes.subarray(10 + length);
  const values = Float32Array.from({ length: data.length / 4 }, (_, place) => data.readFloatLE(4 * place));
  return { shape, values };
}
