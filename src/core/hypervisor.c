/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening hypervisors by specification string. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/probe.h"
#include "core/spec.h"

static const char op[] = "visor_hypervisor_open";

const char *visor__option_get(const visor_hypervisor *hv, const char *name)
{
    for (size_t i = 0; i < hv->spec->count; i++) {
        if (strcmp(hv->spec->options[i].key, name) == 0)
            return hv->spec->options[i].value;
    }
    return NULL;
}

int visor__option_number(uint64_t *out, const visor_hypervisor *hv, const char *name,
                         uint64_t fallback, uint64_t max)
{
    const char *text = visor__option_get(hv, name);
    unsigned long long value;
    char *end;

    *out = fallback;
    if (text == NULL)
        return 0;
    errno = 0;
    value = strtoull(text, &end, 0);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > max)
        return visor__error(VISOR_EINVAL, hv->backend->name, op,
                            "%s=%s is not a number from 0 to %llu", name, text,
                            (unsigned long long)max);
    *out = value;
    return 0;
}

static const struct visor_backend *find_backend(const char *name)
{
    for (size_t i = 0; visor__backends[i] != NULL; i++) {
        if (strcmp(visor__backends[i]->name, name) == 0)
            return visor__backends[i];
    }
    return NULL;
}

/* "kvm, null": the names that a hint offers. */
static void list_backends(char *out, size_t capacity)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; visor__backends[i] != NULL && used < capacity; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", i > 0 ? ", " : "",
                                 visor__backends[i]->name);
}

static int check_options(const struct visor_backend *backend, const struct visor__spec *spec)
{
    for (size_t i = 0; i < spec->count; i++) {
        const struct visor__option *known = backend->options;

        while (known != NULL && known->name != NULL &&
               strcmp(known->name, spec->options[i].key) != 0)
            known++;
        if (known == NULL || known->name == NULL)
            return visor__error(VISOR_EINVAL, backend->name, op, "there is no option \"%s\"",
                                spec->options[i].key);
    }
    return 0;
}

/* Takes spec over, whatever happens. */
static int open_backend(visor_hypervisor **out, const struct visor_backend *backend,
                        struct visor__spec *spec)
{
    visor_hypervisor *hv = calloc(1, sizeof(*hv));
    int ret = check_options(backend, spec);

    if (hv != NULL) {
        hv->spec = malloc(sizeof(*hv->spec));
        hv->priv = calloc(1, backend->hv_size > 0 ? backend->hv_size : 1);
    }
    if (hv == NULL || hv->spec == NULL || hv->priv == NULL)
        ret = visor__error(VISOR_ENOMEM, backend->name, op, "no memory for the object");
    if (ret == 0) {
        atomic_init(&hv->refs, 1);
        hv->backend = backend;
        *hv->spec = *spec;
        ret = backend->hv->open(hv);
    }
    if (ret < 0) {
        visor__spec_clear(spec);
        if (hv != NULL) {
            free(hv->spec);
            free(hv->priv);
        }
        free(hv);
        return ret;
    }
    *out = hv;
    return 0;
}

/* Errors begin with the name of their backend. */
static const char *without_name(const char *detail, const char *name)
{
    size_t length = strlen(name);

    return strncmp(detail, name, length) == 0 && strncmp(detail + length, ": ", 2) == 0
               ? detail + length + 2
               : detail;
}

/*
 * The backend that runs most, and of equals the fastest, by their probes. Collects a sentence on
 * each for reason and error.
 */
static int open_auto(visor_hypervisor **out)
{
    char seen[384] = "";
    size_t used = 0;
    const char *best = NULL;
    visor_probe best_probe = {.mips = -1};
    int ret;

    for (size_t i = 0; visor__backends[i] != NULL; i++) {
        visor_probe probe = VISOR_PROBE_INIT;
        const struct visor_backend *backend = visor__backends[i];

        if (!backend->is_auto)
            continue;
        ret = visor_hypervisor_probe(&probe, backend->name);
        if (ret < 0)
            return ret;
        if (used < sizeof(seen) - 1)
            used +=
                (size_t)snprintf(seen + used, sizeof(seen) - used, "%s%s: %s", used > 0 ? "; " : "",
                                 backend->name, without_name(probe.detail, backend->name));
        if (probe.status == 0 && (probe.full > best_probe.full || (probe.full == best_probe.full &&
                                                                   probe.mips > best_probe.mips))) {
            best = backend->name;
            best_probe = probe;
        }
    }
    if (best == NULL) {
        visor__error(VISOR_EABSENT, "", op, "no hypervisor works here (%s)", seen);
        return visor__error_hint("run \"visor info\" for the remedy of each");
    }
    ret = visor_hypervisor_open(out, best);
    if (ret == 0)
        snprintf((*out)->reason, sizeof((*out)->reason), "auto took %s (%s)", best, seen);
    return ret;
}

int visor_hypervisor_open(visor_hypervisor **out, const char *text)
{
    const struct visor_backend *backend;
    struct visor__spec spec;
    char names[128];
    int ret = visor__spec_parse(&spec, text);

    if (ret < 0)
        return ret;
    if (strcmp(spec.name, "auto") == 0) {
        bool plain = spec.count == 0;

        visor__spec_clear(&spec);
        return plain ? open_auto(out)
                     : visor__error(VISOR_EINVAL, "", op, "\"auto\" takes no options");
    }
    backend = find_backend(spec.name);
    if (backend == NULL) {
        list_backends(names, sizeof(names));
        ret = visor__error(VISOR_EINVAL, "", op, "there is no backend \"%s\"", spec.name);
        visor__error_hint("this library has: auto, %s", names);
        visor__spec_clear(&spec);
        return ret;
    }
    ret = open_backend(out, backend, &spec);
    if (ret == 0)
        snprintf((*out)->reason, sizeof((*out)->reason), "%s was asked for by name", backend->name);
    return ret;
}

visor_hypervisor *visor_hypervisor_ref(visor_hypervisor *hv)
{
    atomic_fetch_add(&hv->refs, 1);
    return hv;
}

void visor_hypervisor_free(visor_hypervisor *hv)
{
    if (hv == NULL || atomic_fetch_sub(&hv->refs, 1) != 1)
        return;
    hv->backend->hv->close(hv);
    visor__spec_clear(hv->spec);
    free(hv->spec);
    free(hv->priv);
    free(hv);
}

const char *visor_hypervisor_backend(const visor_hypervisor *hv)
{
    return hv->backend->name;
}

const char *visor_hypervisor_reason(const visor_hypervisor *hv)
{
    return hv->reason;
}

const char *visor_hypervisor_version(const visor_hypervisor *hv)
{
    return hv->version;
}

bool visor_hypervisor_has_arch(const visor_hypervisor *hv, visor_arch arch)
{
    return arch > VISOR_ARCH_NATIVE && arch <= VISOR_ARCH_RISCV64 &&
           (hv->backend->arches & 1u << arch) != 0;
}

size_t visor_backend_count(void)
{
    size_t count = 0;

    while (visor__backends[count] != NULL)
        count++;
    return count;
}

const char *visor_backend_name(size_t index)
{
    return index < visor_backend_count() ? visor__backends[index]->name : NULL;
}

const char *visor_backend_summary(size_t index)
{
    return index < visor_backend_count() ? visor__backends[index]->summary : NULL;
}

bool visor_backend_is_auto(size_t index)
{
    return index < visor_backend_count() && visor__backends[index]->is_auto;
}
