// Microsoft's shader compilers, asked about many files by one process: they are Windows libraries, and Wine takes
// longer to start than they take to compile.
//
//     compile_hlsl.exe FXC.dll DXC.dll LIST
//
// Each line of LIST is a profile and a file, separated by a blank; the entry point is the file's name up to its first
// dot. For each line one line of output: "accepted FILE", or "refused FILE" and the compiler's words up to a line that
// holds a dot alone. The switches are those that wgpu passes.

#define COBJMACROS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <d3dcompiler.h>

typedef HRESULT(WINAPI *Compile)(LPCVOID, SIZE_T, LPCSTR, const void *, void *, LPCSTR, LPCSTR, UINT, UINT, ID3DBlob **,
                                 ID3DBlob **);
typedef HRESULT(WINAPI *CreateInstance)(REFCLSID, REFIID, void **);

// What is used of the interfaces of dxcapi.h, which mingw does not have. Their blobs are ID3DBlob by another name.
typedef struct {
  LPCVOID pointer;
  SIZE_T size;
  UINT encoding;
} Buffer;

typedef struct Result Result;
struct Result {
  struct {
    HRESULT(WINAPI *query_interface)(Result *, REFIID, void **);
    ULONG(WINAPI *add_reference)(Result *);
    ULONG(WINAPI *release)(Result *);
    HRESULT(WINAPI *status)(Result *, HRESULT *);
    HRESULT(WINAPI *result)(Result *, ID3DBlob **);
    HRESULT(WINAPI *errors)(Result *, ID3DBlob **);
  } *does;
};

typedef struct Compiler Compiler;
struct Compiler {
  struct {
    HRESULT(WINAPI *query_interface)(Compiler *, REFIID, void **);
    ULONG(WINAPI *add_reference)(Compiler *);
    ULONG(WINAPI *release)(Compiler *);
    HRESULT(WINAPI *compile)(Compiler *, const Buffer *, LPCWSTR *, UINT32, void *, REFIID, void **);
  } *does;
};

static const GUID DXC_COMPILER = {0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}};
static const GUID COMPILER_INTERFACE = {0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}};
static const GUID RESULT_INTERFACE = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};

static const UINT UTF8 = 65001;
static const UINT STRICTNESS = 1 << 11; // D3DCOMPILE_ENABLE_STRICTNESS

static void *symbol(const char *library, const char *name) {
  HMODULE module = LoadLibraryA(library);
  void *found = module ? (void *)GetProcAddress(module, name) : NULL;
  if (!found) {
    fprintf(stderr, "%s cannot be loaded, or has no %s: error %lu\n", library, name, GetLastError());
    exit(2);
  }
  return found;
}

static char *contents(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(2);
  }
  fseek(file, 0, SEEK_END);
  *size = ftell(file);
  rewind(file);
  char *bytes = malloc(*size + 1);
  if (!bytes || fread(bytes, 1, *size, file) != *size) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(2);
  }
  fclose(file);
  return bytes;
}

static void entry_point(const char *path, char *entry, size_t size) {
  const char *start = path;
  for (const char *at = path; *at; at++)
    if (*at == '/' || *at == '\\') start = at + 1;
  size_t length = strcspn(start, ".");
  if (length >= size) length = size - 1;
  memcpy(entry, start, length);
  entry[length] = 0;
}

static void report(const char *path, int accepted, ID3DBlob *words) {
  printf("%s %s\n", accepted ? "accepted" : "refused", path);
  if (!accepted) {
    if (words) fwrite(ID3D10Blob_GetBufferPointer(words), 1, strnlen(ID3D10Blob_GetBufferPointer(words),
                                                                     ID3D10Blob_GetBufferSize(words)), stdout);
    printf("\n.\n");
  }
  fflush(stdout);
}

static void with_fxc(Compile compile, const char *path, const char *profile) {
  size_t size;
  char *source = contents(path, &size), entry[128];
  entry_point(path, entry, sizeof entry);
  ID3DBlob *code = NULL, *words = NULL;
  HRESULT outcome = compile(source, size, path, NULL, NULL, entry, profile, STRICTNESS, 0, &code, &words);
  report(path, SUCCEEDED(outcome) && code, words);
  if (code) ID3D10Blob_Release(code);
  if (words) ID3D10Blob_Release(words);
  free(source);
}

static void with_dxc(Compiler *compiler, const char *path, const char *profile) {
  size_t size;
  char *source = contents(path, &size), narrow[128];
  WCHAR entry[128], target[16];
  entry_point(path, narrow, sizeof narrow);
  MultiByteToWideChar(UTF8, 0, narrow, -1, entry, 128);
  MultiByteToWideChar(UTF8, 0, profile, -1, target, 16);
  LPCWSTR words[] = {L"-E", entry, L"-T", target, L"-HV", L"2018", L"-no-warnings", L"-Ges", L"-enable-16bit-types"};
  UINT32 count = strcmp(profile, "cs_6_0") > 0 ? 9 : 8; // 16-bit types come with 6.2
  Buffer buffer = {source, size, UTF8};
  Result *result = NULL;
  HRESULT outcome = compiler->does->compile(compiler, &buffer, words, count, NULL, &RESULT_INTERFACE, (void **)&result);
  HRESULT status = outcome;
  ID3DBlob *errors = NULL, *code = NULL;
  if (SUCCEEDED(outcome)) {
    result->does->status(result, &status);
    result->does->errors(result, &errors);
    result->does->result(result, &code);
  }
  // wgpu takes any words for an error.
  int silent = !errors || ID3D10Blob_GetBufferSize(errors) <= 1;
  report(path, SUCCEEDED(outcome) && SUCCEEDED(status) && code && ID3D10Blob_GetBufferSize(code) > 0 && silent, errors);
  if (errors) ID3D10Blob_Release(errors);
  if (code) ID3D10Blob_Release(code);
  if (result) result->does->release(result);
  free(source);
}

int main(int count, char **words) {
  if (count != 4) {
    fprintf(stderr, "usage: compile_hlsl.exe FXC.dll DXC.dll LIST\n");
    return 2;
  }
  Compile fxc = NULL;
  Compiler *dxc = NULL;
  FILE *list = fopen(words[3], "r");
  if (!list) {
    fprintf(stderr, "%s cannot be read\n", words[3]);
    return 2;
  }
  char profile[16], path[1024];
  while (fscanf(list, "%15s %1023[^\r\n]", profile, path) == 2) {
    if (strcmp(profile, "cs_5_1") == 0) {
      if (!fxc) fxc = (Compile)symbol(words[1], "D3DCompile");
      with_fxc(fxc, path, profile);
      continue;
    }
    if (!dxc) {
      CreateInstance create = (CreateInstance)symbol(words[2], "DxcCreateInstance");
      if (FAILED(create(&DXC_COMPILER, &COMPILER_INTERFACE, (void **)&dxc))) {
        fprintf(stderr, "%s makes no compiler\n", words[2]);
        return 2;
      }
    }
    with_dxc(dxc, path, profile);
  }
  fclose(list);
  return 0;
}
