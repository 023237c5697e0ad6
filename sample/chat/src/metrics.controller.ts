import type { IncomingMessage, ServerResponse } from 'node:http';
import { Controller, Get, Req, Res } from '@nestjs/common';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

const exporter = new PrometheusExporter({ preventServerStart: true }); // this app serves what it would
/** What the package measures goes here; see app.module.ts. */
export const meterProvider = new MeterProvider({ readers: [exporter] });

@Controller('metrics')
export class MetricsController {
  /** For Prometheus, which asks each node by itself. */
  @Get()
  scrape(@Req() request: IncomingMessage, @Res() response: ServerResponse): void {
    exporter.getMetricsRequestHandler(request, response);
  }
}
