/* A Vulkan layer that makes a driver fail on request, for the tests of what this crate makes of it.
 *
 * It stands between the loader and the driver and counts calls of one kind at a time. From the n-th of them on, for
 * as many as were asked for, it does not pass them on but answers what it was told to. What is to fail comes from
 * `fault_arm`, which the tests call, or, for programs, from the environment: FAULT="KIND N TIMES ANSWER".
 *
 *   KIND      submit | wait | allocate (memory, buffers) | create (all other objects) | counter | idle
 *   ANSWER    lost | device-memory | host-memory   the error of that name
 *             never    of a submission: it is taken, and does not run
 *
 * Where FAULT_DISCRETE is set, the device calls itself a discrete GPU.
 *
 * Vulkan's headers need not be installed: the few types that a layer has to know are written out here, as the loader's
 * specification of its interface has them. One driver at a time: what follows in the chain is the same for all devices. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int32_t Result;
typedef void (*Function)(void);
typedef Function (*GetProcAddr)(void *handle, const char *name);

enum { SUCCESS = 0, OUT_OF_HOST_MEMORY = -1, OUT_OF_DEVICE_MEMORY = -2, INITIALIZATION_FAILED = -3, LOST = -4 };
enum { LOADER_INSTANCE_CREATE_INFO = 47, LOADER_DEVICE_CREATE_INFO = 48, LINK_INFO = 0, DISCRETE_GPU = 2 };

typedef struct Link {
    struct Link *next;
    GetProcAddr instance_proc_addr;
    GetProcAddr device_proc_addr; /* A physical device's in the chain of instances. */
} Link;

typedef struct CreateInfo {
    int32_t type;
    const struct CreateInfo *next;
    int32_t function;
    Link *link;
} CreateInfo;

typedef struct {
    int32_t type;
    void *next;
    uint32_t version;
    GetProcAddr instance_proc_addr, device_proc_addr, physical_device_proc_addr;
} Negotiation;

/* What is to fail. */

enum Kind { NONE, SUBMIT, WAIT, ALLOCATE, CREATE, COUNTER, IDLE };
enum Answer { ANSWER_LOST, ANSWER_DEVICE_MEMORY, ANSWER_HOST_MEMORY, ANSWER_NEVER };

static const char *const KINDS[] = {"none", "submit", "wait", "allocate", "create", "counter", "idle"};
static const char *const ANSWERS[] = {"lost", "device-memory", "host-memory", "never"};

static atomic_int armed, answer;
static atomic_uint first, last, calls, met;
static _Atomic(void *) stuck_queue;

static int place(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return i;
    fprintf(stderr, "the fault layer knows no %s\n", name);
    abort();
}

EXPORT void fault_arm(const char *kind, unsigned nth, unsigned times, const char *how) {
    armed = NONE;
    answer = place(how, ANSWERS, 4);
    first = nth;
    last = times > UINT32_MAX - nth ? UINT32_MAX : nth + times - 1;
    calls = met = 0;
    armed = place(kind, KINDS, 7);
}

/* How many calls have failed since `fault_arm`. */
EXPORT unsigned fault_met(void) { return met; }

/* How many calls of the kind there have been since then, failed or not. */
EXPORT unsigned fault_calls(void) { return calls; }

static int fails(enum Kind kind) {
    if (armed != (int)kind) return 0;
    unsigned call = ++calls;
    if (call < first || call > last) return 0;
    met++;
    return 1;
}

static Result failure(void) {
    switch (answer) {
        case ANSWER_DEVICE_MEMORY: return OUT_OF_DEVICE_MEMORY;
        case ANSWER_HOST_MEMORY: return OUT_OF_HOST_MEMORY;
        default: return LOST;
    }
}

/* What stands between. */

#define CREATE_PARAMETERS (void *device, const void *info, const void *allocator, void *made)
#define CREATE_ARGUMENTS (device, info, allocator, made)
#define ALLOCATE_PARAMETERS (void *device, const void *info, void *made)
#define ALLOCATE_ARGUMENTS (device, info, made)

#define FAILING(KIND, NAME, PARAMETERS, ARGUMENTS)        \
    static Result (*next_##NAME) PARAMETERS;              \
    static Result layer_##NAME PARAMETERS {               \
        return fails(KIND) ? failure() : next_##NAME ARGUMENTS; \
    }

FAILING(ALLOCATE, vkAllocateMemory, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(ALLOCATE, vkCreateBuffer, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateShaderModule, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateDescriptorPool, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateDescriptorSetLayout, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreatePipelineLayout, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateCommandPool, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateSemaphore, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateFence, CREATE_PARAMETERS, CREATE_ARGUMENTS)
FAILING(CREATE, vkCreateComputePipelines,
        (void *device, uint64_t cache, uint32_t count, const void *infos, const void *allocator, void *made),
        (device, cache, count, infos, allocator, made))
FAILING(CREATE, vkAllocateCommandBuffers, ALLOCATE_PARAMETERS, ALLOCATE_ARGUMENTS)
FAILING(CREATE, vkAllocateDescriptorSets, ALLOCATE_PARAMETERS, ALLOCATE_ARGUMENTS)
FAILING(CREATE, vkBeginCommandBuffer, (void *commands, const void *info), (commands, info))
FAILING(CREATE, vkEndCommandBuffer, (void *commands), (commands))
FAILING(CREATE, vkBindBufferMemory, (void *device, uint64_t buffer, uint64_t memory, uint64_t offset),
        (device, buffer, memory, offset))
FAILING(CREATE, vkMapMemory,
        (void *device, uint64_t memory, uint64_t offset, uint64_t size, uint32_t flags, void **mapped),
        (device, memory, offset, size, flags, mapped))
FAILING(WAIT, vkWaitSemaphores, (void *device, const void *info, uint64_t nanoseconds), (device, info, nanoseconds))
FAILING(WAIT, vkWaitForFences,
        (void *device, uint32_t count, const void *fences, uint32_t all, uint64_t nanoseconds),
        (device, count, fences, all, nanoseconds))
FAILING(COUNTER, vkGetSemaphoreCounterValue, (void *device, uint64_t semaphore, uint64_t *value),
        (device, semaphore, value))

static Result (*next_vkQueueSubmit)(void *queue, uint32_t count, const void *submits, uint64_t fence);
static Result layer_vkQueueSubmit(void *queue, uint32_t count, const void *submits, uint64_t fence) {
    if (!fails(SUBMIT)) return next_vkQueueSubmit(queue, count, submits, fence);
    if (answer != ANSWER_NEVER) return failure();
    stuck_queue = queue;
    return SUCCESS;
}

static Result (*next_vkQueueWaitIdle)(void *queue);
static Result layer_vkQueueWaitIdle(void *queue) {
    if (fails(IDLE)) return failure();
    while (queue == stuck_queue) pause();
    return next_vkQueueWaitIdle(queue);
}

#define STANDING_BETWEEN(NAME) {#NAME, (Function)layer_##NAME, (Function *)&next_##NAME}

static const struct {
    const char *name;
    Function layer;
    Function *next;
} BETWEEN[] = {
    STANDING_BETWEEN(vkAllocateMemory), STANDING_BETWEEN(vkCreateBuffer), STANDING_BETWEEN(vkCreateShaderModule),
    STANDING_BETWEEN(vkCreateDescriptorPool), STANDING_BETWEEN(vkCreateDescriptorSetLayout),
    STANDING_BETWEEN(vkCreatePipelineLayout), STANDING_BETWEEN(vkCreateCommandPool),
    STANDING_BETWEEN(vkCreateSemaphore), STANDING_BETWEEN(vkCreateFence), STANDING_BETWEEN(vkCreateComputePipelines),
    STANDING_BETWEEN(vkAllocateCommandBuffers), STANDING_BETWEEN(vkAllocateDescriptorSets),
    STANDING_BETWEEN(vkBeginCommandBuffer), STANDING_BETWEEN(vkEndCommandBuffer), STANDING_BETWEEN(vkBindBufferMemory),
    STANDING_BETWEEN(vkMapMemory), STANDING_BETWEEN(vkGetSemaphoreCounterValue), STANDING_BETWEEN(vkQueueSubmit),
    STANDING_BETWEEN(vkQueueWaitIdle), STANDING_BETWEEN(vkWaitSemaphores), STANDING_BETWEEN(vkWaitForFences),
};
static const size_t BETWEEN_COUNT = sizeof BETWEEN / sizeof BETWEEN[0];

/* The chain. */

static GetProcAddr next_instance_proc_addr, next_device_proc_addr;
static void (*next_properties)(void *device, void *properties), (*next_properties2)(void *device, void *properties);

static Link *link_of(const void *info, int32_t type) {
    for (const CreateInfo *part = ((const CreateInfo *)info)->next; part; part = part->next)
        if (part->type == type && part->function == LINK_INFO) {
            Link *link = part->link;
            ((CreateInfo *)part)->link = link->next;
            return link;
        }
    return NULL;
}

static void claim_discrete(void *properties) {
    /* After apiVersion, driverVersion, vendorID and deviceID. */
    if (getenv("FAULT_DISCRETE")) ((uint32_t *)properties)[4] = DISCRETE_GPU;
}

static void layer_properties(void *device, void *properties) {
    next_properties(device, properties);
    claim_discrete(properties);
}

static void layer_properties2(void *device, void *properties) {
    next_properties2(device, properties);
    /* After sType and pNext. */
    claim_discrete((char *)properties + 16);
}

static Result layer_vkCreateInstance(const void *info, const void *allocator, void **instance) {
    Link *link = link_of(info, LOADER_INSTANCE_CREATE_INFO);
    if (!link) return INITIALIZATION_FAILED;
    next_instance_proc_addr = link->instance_proc_addr;
    typedef Result (*Create)(const void *, const void *, void **);
    Create create = (Create)next_instance_proc_addr(NULL, "vkCreateInstance");
    Result result = create(info, allocator, instance);
    if (result != SUCCESS) return result;
    typedef void (*Properties)(void *, void *);
    next_properties = (Properties)next_instance_proc_addr(*instance, "vkGetPhysicalDeviceProperties");
    next_properties2 = (Properties)next_instance_proc_addr(*instance, "vkGetPhysicalDeviceProperties2");
    const char *wanted = getenv("FAULT");
    char kind[16], how[16];
    unsigned nth, times;
    if (wanted && armed == NONE && sscanf(wanted, "%15s %u %u %15s", kind, &nth, &times, how) == 4)
        fault_arm(kind, nth, times, how);
    return SUCCESS;
}

static Result layer_vkCreateDevice(void *physical_device, const void *info, const void *allocator, void **device) {
    Link *link = link_of(info, LOADER_DEVICE_CREATE_INFO);
    if (!link) return INITIALIZATION_FAILED;
    typedef Result (*Create)(void *, const void *, const void *, void **);
    Create create = (Create)link->instance_proc_addr(NULL, "vkCreateDevice");
    Result result = create(physical_device, info, allocator, device);
    if (result != SUCCESS) return result;
    next_device_proc_addr = link->device_proc_addr;
    for (size_t i = 0; i < BETWEEN_COUNT; i++) *BETWEEN[i].next = next_device_proc_addr(*device, BETWEEN[i].name);
    return SUCCESS;
}

static Function layer_vkGetInstanceProcAddr(void *instance, const char *name);

static Function layer_vkGetDeviceProcAddr(void *device, const char *name) {
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)layer_vkGetDeviceProcAddr;
    for (size_t i = 0; i < BETWEEN_COUNT; i++)
        if (strcmp(name, BETWEEN[i].name) == 0) return *BETWEEN[i].next ? BETWEEN[i].layer : NULL;
    return next_device_proc_addr(device, name);
}

static Function layer_vkGetInstanceProcAddr(void *instance, const char *name) {
    if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)layer_vkGetInstanceProcAddr;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (Function)layer_vkGetDeviceProcAddr;
    if (strcmp(name, "vkCreateInstance") == 0) return (Function)layer_vkCreateInstance;
    if (strcmp(name, "vkCreateDevice") == 0) return (Function)layer_vkCreateDevice;
    if (strcmp(name, "vkGetPhysicalDeviceProperties") == 0) return (Function)layer_properties;
    if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0 && next_properties2) return (Function)layer_properties2;
    return next_instance_proc_addr ? next_instance_proc_addr(instance, name) : NULL;
}

EXPORT Result vkNegotiateLoaderLayerInterfaceVersion(Negotiation *negotiation) {
    if (negotiation->version < 2) return INITIALIZATION_FAILED;
    negotiation->version = 2;
    negotiation->instance_proc_addr = layer_vkGetInstanceProcAddr;
    negotiation->device_proc_addr = layer_vkGetDeviceProcAddr;
    negotiation->physical_device_proc_addr = NULL;
    return SUCCESS;
}
