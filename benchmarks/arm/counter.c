/* Instructions that an emulated 64-bit Arm program runs between two marks, by kind.
 *
 * A plugin for qemu-aarch64 7.2:  qemu-aarch64 -plugin ./counter.so,out=FILE PROGRAM...
 *
 * The program marks a stretch by two system calls that do nothing, getpgid(START) and
 * getpgid(STOP); at each STOP one line of JSON goes to FILE. A line counts every thread of the
 * program, and threads that run at once may lose counts: let the program use one.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Debian ships no qemu-plugin.h; this is what is used of version 1 of the interface. */
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*system_call_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, system_call_t);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op,
                                                     void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

enum { GETPGID = 155, START = 0x7ff0000, STOP = 0x7ff0001 };

/* Numbers of the "Arm Architecture Reference Manual for A-profile", chapter C4: an instruction is
 * of a kind when the bits under the mask have the value. An instruction is of one kind at most. */
enum kind { DOT, WIDENING, FMLA, LOAD_STORE, KINDS };
static const char *const names[KINDS] = {"dot", "widening", "fmla", "load_store"};
static const struct {
    uint32_t mask, value;
    enum kind kind;
} encodings[] = {
    {0x9fe0fc00, 0x0e809400, DOT},        /* SDOT, UDOT, vector */
    {0x9fc0f400, 0x0f80e000, DOT},        /* SDOT, UDOT, by element */
    {0x9f20fc00, 0x0e208000, WIDENING},   /* SMLAL, UMLAL, vector */
    {0x9f20fc00, 0x0e20c000, WIDENING},   /* SMULL, UMULL, vector */
    {0x9f00f400, 0x0f002000, WIDENING},   /* SMLAL, UMLAL, by element */
    {0x9f00f400, 0x0f00a000, WIDENING},   /* SMULL, UMULL, by element */
    {0x9f3ffc00, 0x0e206800, WIDENING},   /* SADALP, UADALP */
    {0xbfa0fc00, 0x0e20cc00, FMLA},       /* FMLA, vector */
    {0xbf80f400, 0x0f801000, FMLA},       /* FMLA, by element */
    {0x0a000000, 0x08000000, LOAD_STORE}, /* all loads and stores, of either register file */
};

static uint64_t total, counts[KINDS];
static FILE *out;

static enum kind kind_of(uint32_t word)
{
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if ((word & encodings[i].mask) == encodings[i].value)
            return encodings[i].kind;
    return KINDS;
}

/* Once for each block when it is translated; the additions run with the block. */
static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t length = qemu_plugin_tb_n_insns(block);
    uint64_t found[KINDS + 1] = {0};
    (void)id;
    for (size_t i = 0; i < length; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        found[kind_of(word)]++;
    }
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &total, length);
    for (int kind = 0; kind < KINDS; kind++)
        if (found[kind])
            qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64,
                                                     &counts[kind], found[kind]);
}

static void on_system_call(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t first,
                           uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                           uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != GETPGID)
        return;
    if (first == START) {
        total = 0;
        memset(counts, 0, sizeof counts);
    } else if (first == STOP) {
        fprintf(out, "{\"all\": %" PRIu64, total);
        for (int kind = 0; kind < KINDS; kind++)
            fprintf(out, ", \"%s\": %" PRIu64, names[kind], counts[kind]);
        fputs("}\n", out);
        fflush(out);
    }
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                 char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || !(out = fopen(argv[0] + 4, "w"))) {
        fputs("counter: give a file that can be written: -plugin counter.so,out=FILE\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
