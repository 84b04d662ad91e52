# frozen_string_literal: true

require 'json'

module LambdaRuntime
  # What a handler is told of its invocation, with the members that Lambda's has.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity, :client_context, :tenant_id,
                :function_name, :function_version, :memory_limit_in_mb, :log_group_name, :log_stream_name

    def initialize(invocation)
      @aws_request_id = invocation.request_id
      @invoked_function_arn = invocation.header('Invoked-Function-Arn')
      @deadline_ms = invocation.header('Deadline-Ms').to_i
      @identity = parsed(invocation.header('Cognito-Identity'))
      @client_context = parsed(invocation.header('Client-Context'))
      @tenant_id = invocation.header('Aws-Tenant-Id')
      @function_name = ENV.fetch('AWS_LAMBDA_FUNCTION_NAME', nil)
      @function_version = ENV.fetch('AWS_LAMBDA_FUNCTION_VERSION', nil)
      @memory_limit_in_mb = ENV.fetch('AWS_LAMBDA_FUNCTION_MEMORY_SIZE', nil)
      @log_group_name = ENV.fetch('AWS_LAMBDA_LOG_GROUP_NAME', nil)
      @log_stream_name = ENV.fetch('AWS_LAMBDA_LOG_STREAM_NAME', nil)
      @ends = monotonic_ms + @deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond)
    end

    # What is left of the function's timeout, never less than nothing. A clock that is set does not change it.
    def get_remaining_time_in_millis # rubocop:disable Naming/AccessorMethodName
      [@ends - monotonic_ms, 0].max
    end

    private

    def monotonic_ms
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond)
    end

    def parsed(text)
      text && JSON.parse(text)
    end
  end
end
