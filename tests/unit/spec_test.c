/* SPDX-License-Identifier: BSD-3-Clause */
/* Specification strings and what opening one says when it cannot. */
#include <string.h>

#include "core/spec.h"
#include "unit.h"
#include <visor.h>

static int parse(const char *text)
{
    struct visor__spec spec;
    int ret = visor__spec_parse(&spec, text);

    if (ret == 0)
        visor__spec_clear(&spec);
    return ret;
}

TEST(names_and_options_are_taken_apart)
{
    struct visor__spec spec;

    REQUIRE_OK(visor__spec_parse(&spec, "gunyah[device=/dev/g,qcom_trusted_vm_id=0x10]"));
    CHECK_STR(spec.name, "gunyah");
    CHECK_INT(spec.count, 2);
    CHECK_STR(spec.options[0].key, "device");
    CHECK_STR(spec.options[0].value, "/dev/g");
    CHECK_STR(spec.options[1].key, "qcom_trusted_vm_id");
    CHECK_STR(spec.options[1].value, "0x10");
    visor__spec_clear(&spec);
    REQUIRE_OK(visor__spec_parse(&spec, "kvm[]"));
    CHECK_STR(spec.name, "kvm");
    CHECK_INT(spec.count, 0);
    visor__spec_clear(&spec);
    REQUIRE_OK(visor__spec_parse(&spec, NULL));
    CHECK_STR(spec.name, "auto");
    visor__spec_clear(&spec);
    REQUIRE_OK(visor__spec_parse(&spec, "kvm[device=a=b]"));
    CHECK_STR(spec.options[0].value, "a=b");
    visor__spec_clear(&spec);
}

TEST(malformed_strings_are_refused)
{
    CHECK_INT(parse("kvm["), VISOR_EINVAL);
    CHECK_INT(parse("kvm[device=/dev/kvm"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[device=/dev/kvm]x"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[device]"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[=x]"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[a=1,]"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[,a=1]"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[a=1,a=2]"), VISOR_EINVAL);
    CHECK_INT(parse("kvm[a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8]"), 0);
    CHECK_INT(parse("kvm[a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9]"), VISOR_EINVAL);
}

TEST(opening_says_what_is_wrong)
{
    visor_hypervisor *hv = NULL;

    CHECK_INT(visor_hypervisor_open(&hv, "nonesuch"), VISOR_EINVAL);
    CHECK(strstr(visor_error_last()->detail, "nonesuch") != NULL);
    CHECK(strstr(visor_error_last()->hint, "null") != NULL); /* what there is */
    CHECK_INT(visor_hypervisor_open(&hv, "null[nonesuch=1]"), VISOR_EINVAL);
    CHECK(strstr(visor_error_last()->detail, "nonesuch") != NULL);
    CHECK_INT(visor_hypervisor_open(&hv, "auto[device=x]"), VISOR_EINVAL);
    CHECK(hv == NULL);
}

TEST(a_probe_reports_what_does_not_work_instead_of_failing)
{
    visor_probe probe = VISOR_PROBE_INIT;

    CHECK_INT(visor_hypervisor_probe(&probe, "nonesuch"), VISOR_EINVAL);
    /* The null backend opens, and runs nothing: not even a guest of this host's architecture. */
    CHECK_OK(visor_hypervisor_probe(&probe, "null"));
    CHECK(probe.status == VISOR_EBROKEN || probe.status == VISOR_EUNSUPPORTED);
    CHECK(!probe.full);
    CHECK(probe.detail[0] != '\0');
    probe.size = 0;
    CHECK_INT(visor_hypervisor_probe(&probe, "null"), VISOR_EINVAL);
}

TEST(backends_are_listed_with_auto_ones_first)
{
    bool only_by_name = false;

    CHECK(visor_backend_count() > 0);
    for (size_t i = 0; i < visor_backend_count(); i++) {
        CHECK(visor_backend_name(i)[0] != '\0' && visor_backend_summary(i)[0] != '\0');
        CHECK(!(only_by_name && visor_backend_is_auto(i)));
        only_by_name = !visor_backend_is_auto(i);
    }
    CHECK(visor_backend_name(visor_backend_count()) == NULL);
    CHECK(!visor_backend_is_auto(visor_backend_count()));
}

TEST(errors_read_as_one_line)
{
    char line[256], cut[8];
    visor_hypervisor *hv = NULL;
    int length;

    CHECK_INT(visor_hypervisor_open(&hv, "nonesuch"), VISOR_EINVAL);
    length = visor_error_format(line, sizeof(line));
    CHECK_INT(length, strlen(line));
    CHECK(strstr(line, "there is no backend \"nonesuch\"") != NULL);
    CHECK_INT(visor_error_format(cut, sizeof(cut)), length);
    CHECK(memcmp(cut, line, sizeof(cut) - 1) == 0 && cut[7] == '\0');
    CHECK_STR(visor_error_name(VISOR_EABSENT), "EABSENT");
    CHECK_STR(visor_error_name(3), "ok");
    CHECK_STR(visor_error_name(-12345), "unknown");
    CHECK_STR(visor_error_text(VISOR_EACCESS), "no permission");
}

UNIT_MAIN()
