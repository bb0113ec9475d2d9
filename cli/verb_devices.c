/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa devices`: what is here, and for what is not, why. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "stoa/runtime.h"

static const char *const backends[] = {"host", "cuda", "hip"};

static json_t *describe_device(const char *name)
{
    stoa_device *device = NULL;
    stoa_device_info info = {.struct_size = sizeof info};
    stoa_error err;
    if (stoa_device_open(name, &device, &err) != STOA_OK || stoa_device_describe(device, &info, &err) != STOA_OK) {
        stoa_device_close(device);
        return json_pack("{s:s, s:b, s:s, s:s}", "name", name, "found", 0, "status", stoa_status_name(err.status), "reason", err.message);
    }
    stoa_device_close(device);
    return json_pack("{s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I}", "name", name, "found", 1, "hardware", info.name, "features", info.features,
                     "memory_bytes", (json_int_t)info.memory_bytes, "memory_free_bytes", (json_int_t)info.memory_free_bytes,
                     "compute_units", (json_int_t)info.compute_units, "lane_width", (json_int_t)info.lane_width);
}

static json_t *list_devices(void)
{
    json_t *devices = json_array();
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        uint32_t count = 0;
        stoa_error err;
        if (stoa_device_count(backends[b], &count, &err) != STOA_OK)
            json_array_append_new(devices, json_pack("{s:s, s:b, s:s, s:s}", "name", backends[b], "found", 0, "status",
                                                     stoa_status_name(err.status), "reason", err.message));
        for (uint32_t i = 0; i < count; i++) {
            char name[32];
            snprintf(name, sizeof name, strcmp(backends[b], "host") ? "%s:%u" : "%s", backends[b], i);
            json_array_append_new(devices, describe_device(name));
        }
    }
    return devices;
}

/* One that cannot be found says where it was looked for. */
static json_t *describe_runtime(const char *name, const char *extensions)
{
    const stoa_runtime_api *api = NULL;
    stoa_error err;
    char where[512] = "";
    if (stoa_runtime_find(name, &api, &err) != STOA_OK) {
        return json_pack("{s:s, s:s, s:b, s:s, s:s}", "name", name, "extensions", extensions, "found", 0, "status",
                         stoa_status_name(err.status), "reason", err.message);
    }
    if (api->probe && api->probe(where, sizeof where, &err) != STOA_OK)
        return json_pack("{s:s, s:s, s:b, s:s, s:s}", "name", name, "extensions", api->extensions, "found", 0, "status",
                         stoa_status_name(err.status), "reason", err.message);
    return json_pack("{s:s, s:s, s:b, s:s}", "name", name, "extensions", api->extensions, "found", 1, "where", where);
}

static json_t *list_runtimes(void)
{
    json_t *runtimes = json_array();
    for (size_t i = 0; i < CLI_RUNTIME_COUNT; i++)
        json_array_append_new(runtimes, describe_runtime(cli_runtimes[i].name, cli_runtimes[i].extensions));
    const stoa_runtime_api *api;
    for (uint32_t i = 0; (api = stoa_runtime_at(i)) != NULL; i++) /* plugins of the application */
        if (!cli_runtime_is_known(api->name)) json_array_append_new(runtimes, describe_runtime(api->name, api->extensions));
    return runtimes;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_list(const char *title, const json_t *list)
{
    printf("%s\n", title);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const bool found = json_is_true(json_object_get(item, "found"));
        printf("  %-12s %-8s ", text_of(item, "name"), found ? "found" : "missing");
        if (!found) {
            printf("%s: %s\n", text_of(item, "status"), text_of(item, "reason"));
        } else if (json_object_get(item, "hardware")) {
            printf("%s; %lld units, %lld lanes, %.1f GiB; %s\n", text_of(item, "hardware"),
                   json_integer_value(json_object_get(item, "compute_units")), json_integer_value(json_object_get(item, "lane_width")),
                   (double)json_integer_value(json_object_get(item, "memory_bytes")) / (1024.0 * 1024.0 * 1024.0),
                   text_of(item, "features"));
        } else {
            printf("%s (%s)\n", text_of(item, "where"), text_of(item, "extensions"));
        }
    }
}

int verb_devices(int argc, char **argv)
{
    bool json = false;
    const cli_option options[] = {{"json", CLI_FLAG, &json, NULL, "one JSON object on standard output"}};
    const cli_syntax syntax = CLI_SYNTAX("devices", "", 0, 0, "Devices, back ends and runtimes: found and where, or missing and why.",
                                         "stoa devices --json", options);
    int first;
    const int code = cli_parse(&syntax, argc, argv, &first);
    if (code != CLI_CONTINUE) return code;
    json_t *devices = list_devices(), *runtimes = list_runtimes();
    if (json)
        return cli_json(json_pack("{s:s, s:s, s:o, s:o}", "version", stoa_version(), "build", stoa_build_info(), "devices", devices,
                                  "runtimes", runtimes));
    printf("stoa %s (%s)\n", stoa_version(), stoa_build_info());
    print_list("devices", devices);
    print_list("runtimes", runtimes);
    json_decref(devices);
    json_decref(runtimes);
    return CLI_DONE;
}
